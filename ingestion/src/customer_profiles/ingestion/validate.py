"""Judge rows: a block of CSV lines becomes events and rejected rows. No Kafka and no files here.

`contracts.check_row` is the reference. This module recognises rows that are already canonical by
whole columns, with patterns from `contracts.rules`. It passes every other row to the reference, one
at a time. The two therefore always agree, and a clean file costs no Python per row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from customer_profiles.contracts import COLUMNS, EVENT_TYPES, OPTIONAL_FIELDS, Leniency
from customer_profiles.contracts.leniency import NULL_WORDS
from customer_profiles.contracts.rules import (
    PLAIN_INTEGER,
    PLAIN_PRICE,
    PLAIN_TEXT,
    PLAIN_TIME,
)
from customer_profiles.ingestion.lines import check_line, cut_detail, kept_text
from customer_profiles.ingestion.messages import to_messages
from customer_profiles.ingestion.structure import NumberedLine, is_regular, separate_irregular
from customer_profiles.ingestion.times import contract_times

REJECTED_SCHEMA: dict[str, Any] = {
    "source_row": pl.Int64,
    "reasons": pl.List(pl.String),
    "text": pl.String,
    "detail": pl.String,
}

_OPTIONAL_COLUMNS = tuple(name for name in COLUMNS if name in OPTIONAL_FIELDS)
_CHECKED_SCHEMA: dict[str, Any] = {"source_row": pl.Int64, **dict.fromkeys(COLUMNS, pl.String)}


@dataclass(frozen=True, slots=True)
class ValidatedBlock:
    """The rows of one block after validation: read = accepted + rejected."""

    read: int
    accepted: pl.DataFrame
    """The fields of a message (`contracts.MESSAGE_FIELDS`), in the order of the rows."""
    rejected: pl.DataFrame
    """Columns as in `REJECTED_SCHEMA`; `text` is the original line, or its beginning if `detail`
    says so."""
    normalised: Counter[str]
    """How many values of accepted rows were rewritten, by `contracts.Leniency`."""


def validate(
    data: bytes,
    columns: Sequence[str],
    source: str,
    first_row: int,
    *,
    separator: str = ",",
    strict: bool = False,
) -> ValidatedBlock:
    """Judge every row of some whole lines.

    A value may be quoted but holds no line break, so a stray quote spoils one row only.

    Args:
        data: lines of CSV without a header, UTF-8. Blank lines do not count as rows.
        columns: the names of the fields in order, among them `contracts.COLUMNS`. A column that
            may be null may be absent.
        source: value of the message field `source`.
        first_row: number of the first row, for the message field `source_row`.
        separator: the character between two fields.
        strict: accept only values that `contracts.check` accepts as they stand.

    Raises:
        PipelineError: a line is a header whose columns are in another order.
    """
    if not data.endswith(b"\n"):
        data += b"\n"
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    table, data, irregular = _split_rows(data, columns, separator, first_row)
    row_count = table.height + len(irregular)
    table, null_words = (table, None) if strict else _drop_null_words(table)
    table, is_canonical, rewritten_times = _judge(table, strict)
    if not is_canonical.all():
        lines = data.split(b"\n")
        indices = (~is_canonical).arg_true().to_list()
        row_numbers = table["source_row"].gather(indices)
        irregular += zip(row_numbers.to_list(), (lines[i] for i in indices), strict=True)
        table = table.filter(is_canonical)
    accepted, rejected, normalised = _check_one_by_one(
        sorted(irregular), columns, separator, strict
    )
    normalised[Leniency.TIME_FORMAT] += rewritten_times
    if null_words is not None:
        normalised[Leniency.NULL_WORD] += int(null_words.filter(is_canonical).sum())
    if accepted.height:
        table = pl.concat([table, accepted]).sort("source_row")
    if absent := len(set(COLUMNS) - set(columns)):
        normalised[Leniency.MISSING_COLUMN] = absent * table.height
    return ValidatedBlock(row_count, to_messages(table, source), rejected, +normalised)


def _split_rows(
    data: bytes, columns: Sequence[str], separator: str, first_row: int
) -> tuple[pl.DataFrame, bytes, list[NumberedLine]]:
    """Split whole lines into columns.

    Returns:
        The regular lines as `source_row` and the nine columns, the same lines as bytes, and the
        irregular lines with their numbers.
    """
    mark = separator.encode()
    if is_regular(data, data.count(b"\n"), len(columns), mark):
        table = _split_columns(data, columns, separator).with_row_index("source_row", first_row)
        return table.with_columns(pl.col("source_row").cast(pl.Int64)), data, []
    regular, numbers, irregular = separate_irregular(data, len(columns), first_row, mark)
    data = b"".join(line + b"\n" for line in regular)
    row_numbers = pl.Series("source_row", numbers, pl.Int64)
    table = _split_columns(data, columns, separator).insert_column(0, row_numbers)
    return table, data, irregular


def _split_columns(data: bytes, columns: Sequence[str], separator: str) -> pl.DataFrame:
    """Split regular lines into the nine columns, all of type String. An absent one is null."""
    if not data:
        return pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String))
    # Polars needs unique names, and a file may have further columns of which two share a name.
    names = [name if name in COLUMNS else f"\0{index}" for index, name in enumerate(columns)]
    schema = dict.fromkeys(names, pl.String)
    table = pl.read_csv(data, has_header=False, schema=schema, quote_char=None, separator=separator)
    absent = [pl.lit(None, pl.String).alias(name) for name in COLUMNS if name not in columns]
    return table.with_columns(absent).select(COLUMNS)


def _drop_null_words(table: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series | None]:
    """Replace words for null in columns that may be null.

    Returns:
        The table, and how many words each row had. None if no row had any. Rows that are not
        canonical must not be counted from it, because the reference counts them.
    """
    is_word = table.select(pl.col(*_OPTIONAL_COLUMNS).is_in(NULL_WORDS).fill_null(False))
    if not any(is_word[name].any() for name in _OPTIONAL_COLUMNS):
        return table, None
    values = (
        pl.when(is_word[name]).then(None).otherwise(pl.col(name)).alias(name)
        for name in _OPTIONAL_COLUMNS
    )
    return table.with_columns(values), is_word.select(pl.sum_horizontal(pl.all())).to_series()


def _judge(table: pl.DataFrame, strict: bool) -> tuple[pl.DataFrame, pl.Series, int]:
    """Find the rows that are events without asking the reference.

    Returns:
        The table with the times of these rows as the contract has them, which rows these are, and
        how many of their times count as rewritten.
    """
    checks = table.select(_has_plain_time().alias("time"), _is_canonical(strict).alias("others"))
    times = table.select(_contract_time()).to_series()
    is_canonical = checks["time"] & checks["others"]
    places = (checks["others"] & ~checks["time"]).arg_true()
    if places.is_empty():
        return table.with_columns(times), is_canonical, 0
    read = contract_times(table["event_time"].gather(places), strict)
    is_read = read["time"].is_not_null()
    places, read = places.filter(is_read), read.filter(is_read)
    table = table.with_columns(times.scatter(places, read["time"]))
    return table, is_canonical.scatter(places, True), int(read["is_rewritten"].sum())


def _has_plain_time() -> pl.Expr:
    """True where a time exists and has the format of the published files."""
    time = pl.col("event_time").str
    exists = time.to_datetime("%Y-%m-%d %H:%M:%S UTC", strict=False).is_not_null()
    return (time.contains(PLAIN_TIME) & exists).fill_null(False)


def _is_canonical(strict: bool) -> pl.Expr:
    """True where a row is valid and canonical as it stands, whatever its time is."""
    session = pl.col("user_session")
    optional_text = [
        pl.col(name).is_null() | pl.col(name).str.contains(PLAIN_TEXT)
        for name in ("category_code", "brand")
    ]
    condition = pl.all_horizontal(
        pl.col("event_type").is_in(EVENT_TYPES),
        pl.col("product_id").str.contains(PLAIN_INTEGER),
        pl.col("category_id").is_null() | pl.col("category_id").str.contains(PLAIN_INTEGER),
        pl.col("user_id").str.contains(PLAIN_INTEGER),
        pl.col("price").str.contains(PLAIN_PRICE),
        session.str.contains(PLAIN_TEXT),
        pl.lit(True) if strict else ~session.is_in(NULL_WORDS),
        *optional_text,
    )
    return condition.fill_null(False)


def _contract_time() -> pl.Expr:
    """Rewrite `2020-09-24 11:57:06 UTC` as `2020-09-24T11:57:06Z`."""
    time = pl.col("event_time").str
    day, time_of_day = time.head(10), time.slice(11, 8)
    return pl.concat_str(day, pl.lit("T"), time_of_day, pl.lit("Z")).alias("event_time")


def _check_one_by_one(
    lines: Sequence[NumberedLine], columns: Sequence[str], separator: str, strict: bool
) -> tuple[pl.DataFrame, pl.DataFrame, Counter[str]]:
    """Judge lines by the reference.

    Returns:
        Accepted values, rejected rows, and how many values were rewritten, by kind.
    """
    accepted: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    normalised: Counter[str] = Counter()
    for number, line in lines:
        checked = check_line(line, columns, separator=separator, strict=strict)
        if checked.reasons:
            names = [str(reason) for reason in checked.reasons]
            rejected.append(
                {
                    "source_row": number,
                    "reasons": names,
                    "text": kept_text(line),
                    "detail": cut_detail(len(line)),
                }
            )
        else:
            accepted.append({"source_row": number, **checked.values})
            normalised.update(checked.rewritten)
    return (
        pl.DataFrame(accepted, schema=_CHECKED_SCHEMA),
        pl.DataFrame(rejected, schema=REJECTED_SCHEMA),
        normalised,
    )
