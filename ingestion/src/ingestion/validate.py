"""Rows into events or dead letters: whole columns at a time, no Kafka and no files.

`contracts.rules.check` is the reference. Here, rows that are plainly in order are recognised and
rewritten by whole columns; every other row is decided by the reference itself, one at a time. So
both always agree, and a clean file costs no Python a row.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import polars_hash as plh
import pyarrow as pa
import pyarrow.compute as pc

from contracts import COLUMNS, EVENT_TYPES, MESSAGE_FIELDS, SCHEMA_VERSION, Reason, check
from contracts.event import SEPARATOR

MAX_LINE_BYTES = 64 * 1024

REJECTED: dict[str, Any] = {"source_row": pl.Int64, "reasons": pl.List(pl.String), "text": pl.String}

_CHECKED: dict[str, Any] = {"source_row": pl.Int64, **dict.fromkeys(COLUMNS, pl.String)}
_PLAIN_TIME = r"^[12][0-9]{3}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-5][0-9]:[0-5][0-9] UTC$"
_PLAIN_INTEGER = r"^[1-9][0-9]{0,19}$"
_PLAIN_PRICE = r"^(?:0|[1-9][0-9]{0,11})\.[0-9]{2}$"
_PLAIN_TEXT = r"^[!-~]+$"


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of the rows of one block: read = accepted + rejected."""

    read: int
    accepted: pl.DataFrame
    """The fields of a message (`contracts.MESSAGE_FIELDS`), in the order of the rows."""
    rejected: pl.DataFrame
    """`source_row` Int64, `reasons` List(String), `text` String: the original line."""


def validate(data: bytes, columns: Sequence[str], source: str, first_row: int) -> Checked:
    """Decide on every row of some whole lines.

    Args:
        data: lines of CSV without a header, UTF-8; blank lines are no rows. A value may be quoted
            but holds no line break, so that a stray quote spoils one row and not all after it.
        columns: the names of the fields in order, among them all of `contracts.COLUMNS`.
        source: goes into the field `source`.
        first_row: the number of the first row, for `source_row`.
    """
    try:
        text = data.decode()
        broken: set[int] = set()
    except UnicodeDecodeError:
        text, broken = _decode_lines(data)
    rows = _rows(text).with_columns((pl.col("line_number") - 1).is_in(sorted(broken)).alias("broken"))
    rows = rows.with_row_index("source_row", first_row).with_columns(pl.col("source_row").cast(pl.Int64))
    straight = (
        (pl.col("line").str.count_matches(",", literal=True) == len(columns) - 1)
        & ~pl.col("line").str.contains('"', literal=True)
        & (pl.col("line").str.len_bytes() <= MAX_LINE_BYTES)
        & ~pl.col("broken")
    )
    rows = rows.with_columns(straight.alias("straight"))
    table = _split(rows.filter("straight"), columns)
    table = table.with_columns(_is_plain().alias("plain"))
    plain = table.filter("plain").select("source_row", *COLUMNS).with_columns(_canonical_time())
    others = pl.concat([rows.filter(~pl.col("straight")), table.filter(~pl.col("plain")).select(rows.columns)])
    good, rejected = _check_one_by_one(others, columns)
    values = pl.concat([plain, good]).sort("source_row") if good.height else plain
    return Checked(rows.height, _messages(values, source), rejected.sort("source_row"))


def encode(accepted: pl.DataFrame) -> pl.Series:
    """Messages as JSON, the same bytes as `contracts.encode` gives for each."""
    return accepted.select(pl.struct(*MESSAGE_FIELDS).struct.json_encode()).to_series()


def _decode_lines(data: bytes) -> tuple[str, set[int]]:
    """Text with escapes where a line is not UTF-8, and the numbers of those lines."""
    lines, broken = [], set()
    for number, line in enumerate(data.split(b"\n")):
        try:
            lines.append(line.decode())
        except UnicodeDecodeError:
            lines.append(line.decode(errors="backslashreplace"))
            broken.add(number)
    return "\n".join(lines), broken


def _rows(text: str) -> pl.DataFrame:
    lines = pc.split_pattern(pa.array([text], pa.large_string()), "\n").values
    frame = pl.DataFrame({"line": pl.Series(lines, dtype=pl.String)}).with_row_index("line_number", 1)
    return frame.with_columns(pl.col("line").str.strip_chars_end("\r")).filter(
        pl.col("line").str.contains(r"[^\s\x{FEFF}]")
    )


def _split(rows: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """One column a field; a line has exactly one field a column here and no quotes."""
    if rows.is_empty():
        return rows.with_columns(pl.lit(None, pl.String).alias(column) for column in COLUMNS)
    # A unique name for each field: a file may have columns of its own, even twice.
    names = [name if name in COLUMNS else f"\0{place}" for place, name in enumerate(columns)]
    fields = pl.read_csv(
        "\n".join(rows["line"].to_list()).encode(),
        has_header=False,
        new_columns=names,
        infer_schema=False,
        quote_char=None,
    )
    if fields.height != rows.height:
        raise RuntimeError(f"{rows.height} lines became {fields.height} rows")
    return rows.hstack(fields.select(COLUMNS))


def _is_plain() -> pl.Expr:
    """True where a row is in order as it stands, but for the format of its time."""
    time = pl.col("event_time")
    optional_text = [
        pl.col(name).is_null() | pl.col(name).str.contains(_PLAIN_TEXT) for name in ("category_code", "brand")
    ]
    condition = pl.all_horizontal(
        time.str.contains(_PLAIN_TIME),
        time.str.to_datetime("%Y-%m-%d %H:%M:%S UTC", strict=False).is_not_null(),
        pl.col("event_type").is_in(EVENT_TYPES),
        pl.col("product_id").str.contains(_PLAIN_INTEGER),
        pl.col("category_id").is_null() | pl.col("category_id").str.contains(_PLAIN_INTEGER),
        pl.col("user_id").str.contains(_PLAIN_INTEGER),
        pl.col("price").str.contains(_PLAIN_PRICE),
        pl.col("user_session").str.contains(_PLAIN_TEXT),
        *optional_text,
    )
    return condition.fill_null(False)


def _canonical_time() -> pl.Expr:
    time = pl.col("event_time").str
    return pl.concat_str(time.head(10), pl.lit("T"), time.slice(11, 8), pl.lit("Z")).alias("event_time")


def _check_one_by_one(rows: pl.DataFrame, columns: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    good: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    for number, line, broken in rows.select("source_row", "line", "broken").iter_rows():
        values, reasons = _check_line(line, columns, broken)
        if reasons:
            rejected.append({"source_row": number, "reasons": [str(reason) for reason in reasons], "text": line})
        else:
            good.append({"source_row": number, **values})
    return (
        pl.DataFrame(good, schema=_CHECKED),
        pl.DataFrame(rejected, schema=REJECTED),
    )


def _check_line(line: str, columns: Sequence[str], broken: bool) -> tuple[dict[str, str | None], list[Reason]]:
    if broken:
        return {}, [Reason.NOT_UTF8]
    if len(line.encode()) > MAX_LINE_BYTES:
        return {}, [Reason.LINE_TOO_LONG]
    try:
        fields = next(csv.reader([line], strict=True), [])
    except csv.Error:
        return {}, [Reason.BAD_QUOTES]
    if len(fields) != len(columns):
        return {}, [Reason.WRONG_FIELD_COUNT]
    return check(dict(zip(columns, fields, strict=True)))


def _messages(values: pl.DataFrame, source: str) -> pl.DataFrame:
    identity = pl.concat_str([pl.col(name).fill_null("") for name in COLUMNS], separator=SEPARATOR)
    return (
        values.with_columns(identity.alias("event_id"))
        .with_columns(
            plh.col("event_id").chash.sha2_256().str.head(32).alias("event_id"),
            pl.col("category_code")
            .str.split_exact(".", 1)
            .struct.field("field_0")
            .replace("", None)
            .alias("category_root"),
            pl.lit(SCHEMA_VERSION).alias("schema_version"),
            pl.lit(source).alias("source"),
        )
        .select(MESSAGE_FIELDS)
    )
