"""Messages of `raw_events` into rows of the archive: whole columns at a time, no Kafka, no Spark."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from contracts import COLUMNS, EVENT_TYPES, MESSAGE_FIELDS, SCHEMA_VERSION, InvalidMessage, check, decode
from processing.profiles import PRICE

_MESSAGE: dict[str, Any] = {
    name: pl.Int64 if name in ("schema_version", "source_row") else pl.String for name in MESSAGE_FIELDS
}
_TEXT = r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt])+"'
_SHAPES = {
    "event_id": '"[0-9a-f]{32}"',
    "event_time": r'"[0-9T:.-]{19,26}Z"',
    "event_type": f'"(?:{"|".join(EVENT_TYPES)})"',
    **dict.fromkeys(("product_id", "user_id"), '"(?:0|[1-9][0-9]{0,19})"'),
    "category_id": '(?:null|"(?:0|[1-9][0-9]{0,19})")',
    "price": r'"(?:0|[1-9][0-9]{0,11})\.[0-9]{2,4}"',
    **dict.fromkeys(("user_session", "source"), _TEXT),
    **dict.fromkeys(("category_code", "brand", "category_root"), f"(?:null|{_TEXT})"),
    "schema_version": str(SCHEMA_VERSION),
    "source_row": "[0-9]{1,15}",
}
_AS_ENCODED = r"^\{" + ",".join(f'"{name}":{_SHAPES[name]}' for name in MESSAGE_FIELDS) + r"\}$"
"""A message as `contracts.encode` writes it, and in order but for its time."""
_TIME = "%Y-%m-%dT%H:%M:%S%.fZ"

EVENT_SCHEMA: dict[str, Any] = {
    "event_id": pl.String,
    "event_time": pl.Datetime("us", "UTC"),
    **dict.fromkeys(COLUMNS[1:6], pl.String),
    "price": PRICE,
    **dict.fromkeys(COLUMNS[7:], pl.String),
    "category_root": pl.String,
    "source": pl.String,
    "source_row": pl.Int64,
    "kafka_partition": pl.Int32,
    "kafka_offset": pl.Int64,
}
"""The columns of `events/bucket=…/batch=….parquet`, in order."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """A message that does not keep the contract."""

    partition: int
    offset: int
    reason: str
    text: str


def parse(values: Sequence[bytes | None], partition: int, offsets: Sequence[int]) -> tuple[pl.DataFrame, list[Misfit]]:
    """Decide on every message.

    Args:
        values: the messages' values.
        partition: whence they come.
        offsets: one for each of the values.

    Returns:
        The events with `EVENT_SCHEMA`, in the order of the messages, and the misfits; every message
        is one or the other.
    """
    frame = _parse_columns(values)
    misfits: list[Misfit] = []
    if frame is None:
        frame, kept, misfits = _parse_one_by_one(values, partition, offsets)
        offsets = kept
    events = frame.with_columns(
        pl.lit(partition, pl.Int32).alias("kafka_partition"), pl.Series("kafka_offset", offsets, pl.Int64)
    )
    return events.select(EVENT_SCHEMA.keys()), misfits


def bucket_numbers(user_ids: pl.Series, buckets: int) -> pl.Series:
    """`contracts.bucket_of` for a whole column, Int32."""
    crc = zlib.crc32
    return pl.Series([crc(user_id.encode()) % buckets for user_id in user_ids.to_list()], dtype=pl.Int32)


def _parse_columns(values: Sequence[bytes | None]) -> pl.DataFrame | None:
    """All messages at once; None where any is not just as `contracts.encode` writes it."""
    if None in values:
        return None
    lines = b"\n".join(values)  # type: ignore[arg-type]
    if lines.count(b"\n") != len(values) - 1:
        return None
    try:
        # The JSON reader alone would take 5 for "5": the text decides whether a message keeps the contract.
        if not pl.Series(values, dtype=pl.Binary).cast(pl.String).str.contains(_AS_ENCODED).all():
            return None
        found = pl.read_ndjson(io.BytesIO(lines), schema=_MESSAGE)
    except pl.exceptions.PolarsError:
        return None
    if found.height != len(values):
        return None
    typed = found.with_columns(*_typed())
    return None if typed.select(pl.any_horizontal(pl.col("event_time", "price").is_null().any())).item() else typed


def _typed() -> list[pl.Expr]:
    return [
        pl.col("event_time").str.to_datetime(_TIME, strict=False, time_unit="us").dt.replace_time_zone("UTC"),
        pl.col("price").str.to_decimal(scale=4).cast(PRICE, strict=False),
    ]


def _parse_one_by_one(
    values: Sequence[bytes | None], partition: int, offsets: Sequence[int]
) -> tuple[pl.DataFrame, list[int], list[Misfit]]:
    rows: list[dict[str, Any]] = []
    kept: list[int] = []
    misfits: list[Misfit] = []
    for value, offset in zip(values, offsets, strict=True):
        try:
            message = decode(value if value is not None else b"null")
            canonical, reasons = check(message)
            if reasons or canonical != {column: message[column] for column in COLUMNS}:
                raise InvalidMessage(", ".join(reasons) or "values are not in their canonical form")
        except InvalidMessage as error:
            misfits.append(Misfit(partition, offset, str(error), (value or b"").decode(errors="backslashreplace")))
        else:
            rows.append(message)
            kept.append(offset)
    return pl.DataFrame(rows, schema=_MESSAGE).with_columns(*_typed()), kept, misfits
