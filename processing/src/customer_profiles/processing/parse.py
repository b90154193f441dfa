"""Messages of `raw_events` to rows of the lake: whole columns at a time, no Kafka, no Spark."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from customer_profiles.contracts import (
    MESSAGE_FIELDS,
    OPTIONAL_FIELDS,
    InvalidMessageError,
    decode_event,
)
from customer_profiles.contracts.rules import MESSAGE_LENGTHS, MESSAGE_PATTERNS
from customer_profiles.lake.events import EVENT_SCHEMA
from customer_profiles.profiles.schema import PRICE

_NUMBERS = ("schema_version", "source_row")
_MESSAGE: dict[str, Any] = {
    name: pl.Int64 if name in _NUMBERS else pl.String for name in MESSAGE_FIELDS
}
_ROW = {**_MESSAGE, "kafka_offset": pl.Int64}


def _field_pattern(name: str) -> str:
    value = f"(?P<{name}>{MESSAGE_PATTERNS[name]})"
    quoted = value if name in _NUMBERS else f'"{value}"'
    return f"(?:null|{quoted})" if name in OPTIONAL_FIELDS else quoted


_ENCODED_MESSAGE = (
    r"^\{" + ",".join(f'"{name}":{_field_pattern(name)}' for name in MESSAGE_FIELDS) + r"\}$"
)
"""A message as `contracts.encode` writes it, without escapes.

The pattern leaves lengths and the calendar to later checks: a regular expression that counts takes
a quarter longer.
"""
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_TIME_WITH_FRACTION = "%Y-%m-%dT%H:%M:%S%.fZ"


@dataclass(frozen=True, slots=True)
class InvalidMessage:
    """A message that breaks the contract."""

    partition: int
    offset: int
    reason: str
    text: str
    """The message; bytes that are not UTF-8 appear as \\xe9."""


def parse(
    values: Sequence[bytes | None], partition: int, offsets: Sequence[int]
) -> tuple[pl.DataFrame, list[InvalidMessage]]:
    """Decide on every message.

    Args:
        values: the messages' values.
        partition: the partition that they come from.
        offsets: the offset of each value.

    Returns:
        The events with `EVENT_SCHEMA`, in the order of the messages, and the invalid messages.
        Every message is one or the other.
    """
    # The text decides whether a message keeps the contract. A JSON reader would take 5 for "5".
    groups = _texts(values).str.extract_groups(_ENCODED_MESSAGE)
    fields = groups.struct.unnest().with_columns(pl.Series("kafka_offset", offsets, pl.Int64))
    events = _typed(fields, partition)
    lengths = [
        pl.col(name).str.len_bytes().is_between(*limits) | pl.col(name).is_null()
        for name, limits in MESSAGE_LENGTHS.items()
    ]
    valid = fields.select(pl.all_horizontal(lengths)).to_series()
    valid &= events["event_time"].is_not_null() & events["price"].is_not_null()
    if valid.all():
        return events, []
    rest = (~valid).arg_true().to_list()
    other_events, invalid = _parse_stored(
        [values[row] for row in rest], partition, [offsets[row] for row in rest]
    )
    return pl.concat([events.filter(valid), other_events]).sort("kafka_offset"), invalid


def partition_by_bucket(events: pl.DataFrame, buckets: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yield each bucket that has events, and its events in their order."""
    numbered = events.with_columns(bucket_numbers(events["user_id"], buckets).alias("bucket"))
    parts = numbered.partition_by("bucket", as_dict=True, include_key=False)
    for (bucket,), part in parts.items():
        yield int(bucket), part


def bucket_numbers(user_ids: pl.Series, buckets: int) -> pl.Series:
    """Return `contracts.bucket_of` for a whole column, as Int32."""
    crc = zlib.crc32
    numbers = [crc(user_id.encode()) % buckets for user_id in user_ids.to_list()]
    return pl.Series(numbers, dtype=pl.Int32)


def _texts(values: Sequence[bytes | None]) -> pl.Series:
    """Return the values as text, null where they are not UTF-8."""
    try:
        return pl.Series(values, dtype=pl.Binary).cast(pl.String)
    except pl.exceptions.ComputeError:
        return pl.Series([_text(value) for value in values], dtype=pl.String)


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _typed(messages: pl.DataFrame, partition: int) -> pl.DataFrame:
    """Cast fields to `EVENT_SCHEMA`; a time or price that is not one becomes null."""
    # Polars reads whole seconds four times as fast as fractions, and nearly all times are whole.
    whole = messages["event_time"].str.to_datetime(
        _TIME, strict=False, time_unit="us", time_zone="UTC"
    )
    times = pl.lit(whole)
    if whole.null_count():
        fractions = pl.col("event_time").str.to_datetime(
            _TIME_WITH_FRACTION, strict=False, time_unit="us", time_zone="UTC"
        )
        times = pl.coalesce(whole, fractions)
    converted = ("event_time", "price", *_NUMBERS)
    return messages.select(
        "kafka_offset",
        *(name for name in MESSAGE_FIELDS if name not in converted),
        times.alias("event_time"),
        pl.col("price").str.to_decimal(scale=4).cast(PRICE, strict=False),
        pl.col("source_row").cast(pl.Int64, strict=False),
        pl.lit(partition, pl.Int32).alias("kafka_partition"),
    ).select(EVENT_SCHEMA.keys())


def _parse_one_by_one(
    values: Sequence[bytes | None], partition: int, offsets: Sequence[int]
) -> tuple[pl.DataFrame, list[InvalidMessage]]:
    rows: list[dict[str, Any]] = []
    invalid: list[InvalidMessage] = []
    for value, offset in zip(values, offsets, strict=True):
        try:
            message = decode_event(value)
        except InvalidMessageError as error:
            invalid.append(_invalid(value, partition, offset, str(error)))
        # No message may stop those after it.
        except Exception as error:
            invalid.append(_invalid(value, partition, offset, _unreadable(error)))
        else:
            rows.append({**message, "kafka_offset": offset})
    return pl.DataFrame(rows, schema=_ROW), invalid


def _parse_stored(
    values: Sequence[bytes | None], partition: int, offsets: Sequence[int]
) -> tuple[pl.DataFrame, list[InvalidMessage]]:
    """Parse messages one by one into `EVENT_SCHEMA`; one that has no row is invalid."""
    try:
        fields, invalid = _parse_one_by_one(values, partition, offsets)
        events = _typed(fields, partition)
        if events["event_time"].null_count() or events["price"].null_count():
            raise ValueError("time or price has no place in a column")
    except Exception as error:
        if len(values) == 1:
            no_events = pl.DataFrame(schema=EVENT_SCHEMA)
            return no_events, [_invalid(values[0], partition, offsets[0], _unreadable(error))]
        half = len(values) // 2
        first_events, first_invalid = _parse_stored(values[:half], partition, offsets[:half])
        last_events, last_invalid = _parse_stored(values[half:], partition, offsets[half:])
        return pl.concat([first_events, last_events]), first_invalid + last_invalid
    return events, invalid


def _invalid(value: bytes | None, partition: int, offset: int, reason: str) -> InvalidMessage:
    text = (value or b"").decode(errors="backslashreplace")
    # A reason may quote characters that have no bytes in UTF-8.
    readable = reason.encode(errors="backslashreplace").decode()
    return InvalidMessage(partition, offset, readable, text)


def _unreadable(error: Exception) -> str:
    return f"it cannot be read ({type(error).__name__}): {error}"
