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

from contracts import COLUMNS, EVENT_TYPES, MESSAGE_FIELDS, SCHEMA_VERSION, Reason, check
from contracts.event import SEPARATOR

MAX_LINE_BYTES = 64 * 1024

REJECTED: dict[str, Any] = {"source_row": pl.Int64, "reasons": pl.List(pl.String), "text": pl.String}

_CHECKED: dict[str, Any] = {"source_row": pl.Int64, **dict.fromkeys(COLUMNS, pl.String)}
_NOT_STRUCTURE = bytes(set(range(256)) - set(b',\n"'))
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
    if not data.endswith(b"\n"):
        data += b"\n"
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    rows = data.count(b"\n")
    others: list[tuple[int, bytes]] = []
    if _is_straight(data, rows, len(columns)):
        table = _split(data, columns).with_row_index("source_row", first_row)
    else:
        straight, numbers, others = _set_aside(data, len(columns), first_row)
        rows = len(numbers) + len(others)
        data = b"".join(line + b"\n" for line in straight)
        table = _split(data, columns).insert_column(0, pl.Series("source_row", numbers, pl.Int64))
    table = table.with_columns(pl.col("source_row").cast(pl.Int64))
    plain = table.select(_is_plain()).to_series()
    if not plain.all():
        lines = data.split(b"\n")
        odd = (~plain).arg_true().to_list()
        others += zip(table["source_row"].gather(odd).to_list(), (lines[place] for place in odd), strict=True)
        table = table.filter(plain)
    table = table.with_columns(_canonical_time())
    good, rejected = _check_one_by_one(sorted(others), columns)
    if good.height:
        table = pl.concat([table, good]).sort("source_row")
    return Checked(rows, messages(table, source), rejected)


def encode(accepted: pl.DataFrame) -> pl.Series:
    """Messages as JSON, the same bytes as `contracts.encode` gives for each."""
    return accepted.select(pl.struct(*MESSAGE_FIELDS).struct.json_encode()).to_series()


def _is_straight(data: bytes, lines: int, fields: int) -> bool:
    """Whether each line has exactly one field a column, without quotes, and no line is odd as a whole."""
    if data.translate(None, _NOT_STRUCTURE) != (b"," * (fields - 1) + b"\n") * lines:
        return False
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            return False
    # A line that is too long leaves a window of half that length without a line feed.
    window = MAX_LINE_BYTES // 2
    return all(data.find(b"\n", begin, begin + window) >= 0 for begin in range(0, len(data), window))


def _set_aside(data: bytes, fields: int, first_row: int) -> tuple[list[bytes], list[int], list[tuple[int, bytes]]]:
    """Straight lines, their row numbers, and every other row with its number; blank lines are dropped."""
    straight: list[bytes] = []
    numbers: list[int] = []
    others: list[tuple[int, bytes]] = []
    row = first_row
    ascii_only = data.isascii()
    for given in data.split(b"\n"):
        line = given.rstrip(b"\r")
        if (
            line.count(b",") == fields - 1
            and b'"' not in line
            and len(line) <= MAX_LINE_BYTES
            and (ascii_only or _is_utf8(line))
        ):
            straight.append(line)
            numbers.append(row)
        elif not line.decode(errors="replace").replace("\ufeff", "").strip():
            continue
        else:
            others.append((row, line))
        row += 1
    return straight, numbers, others


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _split(data: bytes, columns: Sequence[str]) -> pl.DataFrame:
    """The nine columns of straight lines."""
    if not data:
        return pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String))
    # A unique name for each field: a file may have columns of its own, even twice.
    names = [name if name in COLUMNS else f"\0{place}" for place, name in enumerate(columns)]
    schema = dict.fromkeys(names, pl.String)
    return pl.read_csv(data, has_header=False, schema=schema, quote_char=None).select(COLUMNS)


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


def _check_one_by_one(rows: Sequence[tuple[int, bytes]], columns: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    good: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    for number, line in rows:
        values, reasons = check_line(line, columns)
        if reasons:
            # Bytes that are no UTF-8 are shown by their numbers, as \\xe9.
            text = line.decode(errors="backslashreplace")
            rejected.append({"source_row": number, "reasons": [str(reason) for reason in reasons], "text": text})
        else:
            good.append({"source_row": number, **values})
    return pl.DataFrame(good, schema=_CHECKED), pl.DataFrame(rejected, schema=REJECTED)


def check_line(line: bytes, columns: Sequence[str]) -> tuple[dict[str, str | None], list[Reason]]:
    """Decide on one line by the reference; answers as `contracts.check` does."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return {}, [Reason.NOT_UTF8]
    if len(line) > MAX_LINE_BYTES:
        return {}, [Reason.LINE_TOO_LONG]
    values = split_line(text, columns)
    return ({}, [values]) if isinstance(values, Reason) else check(values)


def split_line(text: str, columns: Sequence[str]) -> dict[str, str] | Reason:
    """The value of each column of one line, or the reason why it has not one for each."""
    try:
        fields = next(csv.reader([text], strict=True), [])
    except csv.Error:
        return Reason.BAD_QUOTES
    if len(fields) != len(columns):
        return Reason.WRONG_FIELD_COUNT
    return dict(zip(columns, fields, strict=True))


def messages(values: pl.DataFrame, source: str) -> pl.DataFrame:
    """The fields of messages: what is derived from `contracts.COLUMNS` and `source_row`, and these."""
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
