"""Messages of `raw_events` into rows of the archive: whole columns at a time, no Kafka, no Spark."""

from __future__ import annotations

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
_TEXT = r'[^"\\\x00-\x1f]+'
_VALUES = {
    "event_id": "[0-9a-f]+",
    "event_time": "[0-9T:.-]+Z",
    "event_type": "|".join(EVENT_TYPES),
    **dict.fromkeys(("product_id", "category_id", "user_id"), "0|[1-9][0-9]*"),
    "source_row": "[1-9][0-9]*",
    "price": r"(?:0|[1-9][0-9]{0,11})\.[0-9]{2,4}",
    **dict.fromkeys(("category_code", "brand", "user_session", "category_root", "source"), _TEXT),
    "schema_version": str(SCHEMA_VERSION),
}
_OPTIONAL = ("category_id", "category_code", "brand", "category_root")
_BYTES = {
    "event_id": (32, 32),
    "event_time": (20, 27),
    **dict.fromkeys(("product_id", "category_id", "user_id"), (1, 20)),
    "source_row": (1, 15),
}
"""How long values are, at least and at most: looked at apart, as an expression that counts takes a quarter longer."""


def _shape(name: str) -> str:
    value = f"(?P<{name}>{_VALUES[name]})"
    quoted = value if _MESSAGE[name] == pl.Int64 else f'"{value}"'
    return f"(?:null|{quoted})" if name in _OPTIONAL else quoted


_AS_ENCODED = r"^\{" + ",".join(f'"{name}":{_shape(name)}' for name in MESSAGE_FIELDS) + r"\}$"
"""A message as `contracts.encode` writes it, without escapes, and in order but for its lengths and its time."""
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_TIME_WITH_FRACTION = "%Y-%m-%dT%H:%M:%S%.fZ"

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
    # The text decides whether a message keeps the contract: a JSON reader would take 5 for "5".
    groups = _texts(values).str.extract_groups(_AS_ENCODED)
    found = groups.struct.unnest().with_columns(pl.Series("kafka_offset", offsets, pl.Int64))
    events = _typed(found, partition)
    lengths = [pl.col(name).str.len_bytes().is_between(*most) | pl.col(name).is_null() for name, most in _BYTES.items()]
    fits = found.select(pl.all_horizontal(lengths)).to_series()
    fits &= events["event_time"].is_not_null() & events["price"].is_not_null()
    if fits.all():
        return events, []
    left = (~fits).arg_true().to_list()
    others, misfits = _parse_one_by_one([values[at] for at in left], partition, [offsets[at] for at in left])
    return pl.concat([events.filter(fits), _typed(others, partition)]).sort("kafka_offset"), misfits


def bucket_numbers(user_ids: pl.Series, buckets: int) -> pl.Series:
    """`contracts.bucket_of` for a whole column, Int32."""
    crc = zlib.crc32
    return pl.Series([crc(user_id.encode()) % buckets for user_id in user_ids.to_list()], dtype=pl.Int32)


def _texts(values: Sequence[bytes | None]) -> pl.Series:
    """What is no UTF-8 is null."""
    try:
        return pl.Series(values, dtype=pl.Binary).cast(pl.String)
    except pl.exceptions.ComputeError:
        return pl.concat(_texts([value]) if len(values) > 1 else pl.Series([None], dtype=pl.String) for value in values)


def _typed(messages: pl.DataFrame, partition: int) -> pl.DataFrame:
    """`EVENT_SCHEMA`; a time or price that is none is null."""
    # Nearly all times are whole seconds, which are read four times as fast as fractions.
    whole = messages["event_time"].str.to_datetime(_TIME, strict=False, time_unit="us", time_zone="UTC")
    times = pl.lit(whole)
    if whole.null_count():
        text = pl.col("event_time").str
        times = pl.coalesce(whole, text.to_datetime(_TIME_WITH_FRACTION, strict=False, time_unit="us", time_zone="UTC"))
    return messages.select(
        "kafka_offset",
        *(name for name in MESSAGE_FIELDS if name not in ("event_time", "price", "source_row", "schema_version")),
        times.alias("event_time"),
        pl.col("price").str.to_decimal(scale=4).cast(PRICE, strict=False),
        pl.col("source_row").cast(pl.Int64, strict=False),
        pl.lit(partition, pl.Int32).alias("kafka_partition"),
    ).select(EVENT_SCHEMA.keys())


def _parse_one_by_one(
    values: Sequence[bytes | None], partition: int, offsets: Sequence[int]
) -> tuple[pl.DataFrame, list[Misfit]]:
    rows: list[dict[str, Any]] = []
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
            rows.append({**message, "kafka_offset": offset})
    return pl.DataFrame(rows, schema={**_MESSAGE, "kafka_offset": pl.Int64}), misfits
