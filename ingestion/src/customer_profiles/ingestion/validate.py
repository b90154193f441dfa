"""Judge rows: a block of CSV lines becomes events and rejected rows. No Kafka and no files here.

`contracts.rules.check` is the reference. This module recognises rows that are already canonical by
whole columns, with patterns from `contracts.rules`. It passes every other row to the reference, one
at a time. The two therefore always agree, and a clean file costs no Python per row.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from customer_profiles.contracts import (
    COLUMNS,
    EVENT_TYPES,
    Reason,
    check,
)
from customer_profiles.contracts.rules import (
    MAX_LINE_BYTES,
    PLAIN_INTEGER,
    PLAIN_PRICE,
    PLAIN_TEXT,
    PLAIN_TIME,
)
from customer_profiles.ingestion.messages import to_messages

REJECTED_SCHEMA: dict[str, Any] = {
    "source_row": pl.Int64,
    "reasons": pl.List(pl.String),
    "text": pl.String,
}

_CHECKED_SCHEMA: dict[str, Any] = {"source_row": pl.Int64, **dict.fromkeys(COLUMNS, pl.String)}
_NOT_STRUCTURE = bytes(set(range(256)) - set(b',\n"'))
"""Every byte except commas, line feeds and quotes."""

NumberedLine = tuple[int, bytes]
"""Row number and line, without its line feed."""


@dataclass(frozen=True, slots=True)
class ValidatedBlock:
    """The rows of one block after validation: read = accepted + rejected."""

    read: int
    accepted: pl.DataFrame
    """The fields of a message (`contracts.MESSAGE_FIELDS`), in the order of the rows."""
    rejected: pl.DataFrame
    """Columns as in `REJECTED_SCHEMA`; `text` is the original line."""


def validate(data: bytes, columns: Sequence[str], source: str, first_row: int) -> ValidatedBlock:
    """Judge every row of some whole lines.

    A value may be quoted but holds no line break, so a stray quote spoils one row only.

    Args:
        data: lines of CSV without a header, UTF-8. Blank lines do not count as rows.
        columns: the names of the fields in order, among them all of `contracts.COLUMNS`.
        source: value of the message field `source`.
        first_row: number of the first row, for the message field `source_row`.
    """
    if not data.endswith(b"\n"):
        data += b"\n"
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    row_count = data.count(b"\n")
    irregular: list[NumberedLine] = []
    if _is_regular(data, row_count, len(columns)):
        table = _split_columns(data, columns).with_row_index("source_row", first_row)
    else:
        regular, numbers, irregular = _separate_irregular(data, len(columns), first_row)
        row_count = len(numbers) + len(irregular)
        data = b"".join(line + b"\n" for line in regular)
        row_numbers = pl.Series("source_row", numbers, pl.Int64)
        table = _split_columns(data, columns).insert_column(0, row_numbers)
    table = table.with_columns(pl.col("source_row").cast(pl.Int64))
    is_canonical = table.select(_is_canonical()).to_series()
    if not is_canonical.all():
        lines = data.split(b"\n")
        indices = (~is_canonical).arg_true().to_list()
        row_numbers = table["source_row"].gather(indices)
        irregular += zip(row_numbers.to_list(), (lines[i] for i in indices), strict=True)
        table = table.filter(is_canonical)
    table = table.with_columns(_contract_time())
    accepted, rejected = _check_one_by_one(sorted(irregular), columns)
    if accepted.height:
        table = pl.concat([table, accepted]).sort("source_row")
    return ValidatedBlock(row_count, to_messages(table, source), rejected)


def check_line(line: bytes, columns: Sequence[str]) -> tuple[dict[str, str | None], list[Reason]]:
    """Judge one line by the reference.

    Args:
        line: a CSV line without its line feed.
        columns: the names of its fields in order.

    Returns:
        The values and the reasons for rejection, as `contracts.check` returns them.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return {}, [Reason.NOT_UTF8]
    if len(line) > MAX_LINE_BYTES:
        return {}, [Reason.LINE_TOO_LONG]
    values = split_line(text, columns)
    return ({}, [values]) if isinstance(values, Reason) else check(values)


def split_line(text: str, columns: Sequence[str]) -> dict[str, str] | Reason:
    """Return the value of each column of one line, or the reason why the line cannot be split."""
    try:
        fields = next(csv.reader([text], strict=True), [])
    except csv.Error:
        return Reason.BAD_QUOTES
    if len(fields) != len(columns):
        return Reason.WRONG_FIELD_COUNT
    return dict(zip(columns, fields, strict=True))


def _is_regular(data: bytes, lines: int, fields: int) -> bool:
    """Return whether every line is UTF-8, short enough, unquoted and has one field per column."""
    if data.translate(None, _NOT_STRUCTURE) != (b"," * (fields - 1) + b"\n") * lines:
        return False
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            return False
    # Any line above the limit covers a whole window of half the limit, without a line feed in it.
    window = MAX_LINE_BYTES // 2
    return all(
        data.find(b"\n", start, start + window) >= 0 for start in range(0, len(data), window)
    )


def _separate_irregular(
    data: bytes, fields: int, first_row: int
) -> tuple[list[bytes], list[int], list[NumberedLine]]:
    """Separate regular lines from the others and drop blank lines.

    Returns:
        Regular lines, their row numbers, and the irregular lines with their numbers.
    """
    regular: list[bytes] = []
    numbers: list[int] = []
    irregular: list[NumberedLine] = []
    row = first_row
    ascii_only = data.isascii()
    for raw_line in data.split(b"\n"):
        line = raw_line.rstrip(b"\r")
        if (
            line.count(b",") == fields - 1
            and b'"' not in line
            and len(line) <= MAX_LINE_BYTES
            and (ascii_only or _is_utf8(line))
        ):
            regular.append(line)
            numbers.append(row)
        elif not line.decode(errors="replace").replace("\ufeff", "").strip():
            continue
        else:
            irregular.append((row, line))
        row += 1
    return regular, numbers, irregular


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _split_columns(data: bytes, columns: Sequence[str]) -> pl.DataFrame:
    """Split regular lines into the nine columns, all of type String."""
    if not data:
        return pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String))
    # Polars needs unique names, and a file may have further columns of which two share a name.
    names = [name if name in COLUMNS else f"\0{index}" for index, name in enumerate(columns)]
    schema = dict.fromkeys(names, pl.String)
    return pl.read_csv(data, has_header=False, schema=schema, quote_char=None).select(COLUMNS)


def _is_canonical() -> pl.Expr:
    """True where a row is valid and canonical as it stands, except for the format of its time."""
    time = pl.col("event_time")
    optional_text = [
        pl.col(name).is_null() | pl.col(name).str.contains(PLAIN_TEXT)
        for name in ("category_code", "brand")
    ]
    condition = pl.all_horizontal(
        time.str.contains(PLAIN_TIME),
        time.str.to_datetime("%Y-%m-%d %H:%M:%S UTC", strict=False).is_not_null(),
        pl.col("event_type").is_in(EVENT_TYPES),
        pl.col("product_id").str.contains(PLAIN_INTEGER),
        pl.col("category_id").is_null() | pl.col("category_id").str.contains(PLAIN_INTEGER),
        pl.col("user_id").str.contains(PLAIN_INTEGER),
        pl.col("price").str.contains(PLAIN_PRICE),
        pl.col("user_session").str.contains(PLAIN_TEXT),
        *optional_text,
    )
    return condition.fill_null(False)


def _contract_time() -> pl.Expr:
    """Rewrite `2020-09-24 11:57:06 UTC` as `2020-09-24T11:57:06Z`."""
    time = pl.col("event_time").str
    day, time_of_day = time.head(10), time.slice(11, 8)
    return pl.concat_str(day, pl.lit("T"), time_of_day, pl.lit("Z")).alias("event_time")


def _check_one_by_one(
    lines: Sequence[NumberedLine], columns: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Judge lines by the reference; returns accepted values and rejected rows."""
    accepted: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    for number, line in lines:
        values, reasons = check_line(line, columns)
        if reasons:
            # Bytes that are not UTF-8 become escapes such as \\xe9.
            text = line.decode(errors="backslashreplace")
            names = [str(reason) for reason in reasons]
            rejected.append({"source_row": number, "reasons": names, "text": text})
        else:
            accepted.append({"source_row": number, **values})
    return (
        pl.DataFrame(accepted, schema=_CHECKED_SCHEMA),
        pl.DataFrame(rejected, schema=REJECTED_SCHEMA),
    )
