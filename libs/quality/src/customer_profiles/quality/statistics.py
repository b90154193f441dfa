"""Statistics of landed rows that add up: pure functions over columns that a task holds already.

The statistics of a micro-batch are the sum of those of its offset ranges, and the statistics of a
day are the sum of those of its micro-batches. All values are whole numbers, so that the order of
summing changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from math import log2

import polars as pl

STATISTICS_SCHEMA: dict[str, pl.DataType] = {
    "day": pl.Date(),
    "source": pl.String(),
    "partition": pl.Int32(),
    "metric": pl.String(),
    "key": pl.String(),
    "value": pl.Int64(),
}
"""The columns of `quality/batches/000012.parquet`: one row per number.

`day` is the event day (UTC). `partition` is null for all metrics but `rows`. What `key` is follows
from the metric, one of the constants below."""
DIMENSIONS = ["day", "source", "partition", "metric", "key"]
"""The columns that identify a number."""

ROWS = "rows"
"""Rows; the key is empty."""
NULLS = "nulls"
"""Rows without a value; the key is the column."""
TYPES = "types"
"""Rows by event type."""
HALF_HOURS = "half_hours"
"""Rows by half-hour of the day (UTC), `00` to `47`."""
PRICES = "prices"
"""Rows by category and price: `category|bin` (`price_bin`). A price of 0 is in the lowest bin."""
LATE = "late"
"""Rows that came more than `LATENESS_BINS` half-hours after newer ones; the key is empty."""
ARRIVED = "arrived"
"""Rows by the day on which they arrived: for this metric `day` is that day."""
FIRST_SEEN = "first_seen"
"""Rows on the first day of a value; the key is `column|value` and the source is empty."""

NULLABLE = ("category_id", "category_code", "brand")
"""Columns whose nulls are counted. No other column of an event can be null."""
CATALOGUED = ("category_code", "brand")
"""Columns whose new values are noticed."""
NO_CATEGORY = "(none)"
BINS_PER_OCTAVE = 4
"""A price bin spans a factor of 2^(1/4) = 1.19."""
LOWEST_BIN = -40
"""The bin of 0.001 and everything below."""
LATENESS_BINS = 2
"""Half-hours that rows may be behind the newest ones before they count as late."""
HALF_HOUR_US = 1_800_000_000


def price_bin(price: float) -> int:
    """Return the bin of a price: the whole part of 4 · log2(price)."""
    return max(LOWEST_BIN, int(log2(price) * BINS_PER_OCTAVE // 1)) if price > 0 else LOWEST_BIN


def bin_edges(number: int) -> tuple[float, float]:
    """Return the prices between which a bin lies."""
    return 2 ** (number / BINS_PER_OCTAVE), 2 ** ((number + 1) / BINS_PER_OCTAVE)


def summarise_rows(events: pl.DataFrame) -> pl.DataFrame:
    """Count the rows of some events.

    Args:
        events: `event_time` Datetime(us, UTC), `event_type`, `category_id`, `category_code`,
            `category_root`, `brand`, `source` String, `price` Decimal, `kafka_partition` Int32;
            every row counts, repeats too.

    Returns:
        `STATISTICS_SCHEMA`, one row per number, in any order, for `add_up`.
    """
    if not events.height:
        return pl.DataFrame(schema=STATISTICS_SCHEMA)
    price = pl.col("price").cast(pl.Float64)
    bins = (price.log(2) * BINS_PER_OCTAVE).floor().clip(LOWEST_BIN, 1_000).cast(pl.Int16)
    rows = events.select(
        pl.col("event_time").dt.date().alias("day"),
        pl.col("source").cast(pl.Categorical),
        pl.col("kafka_partition").alias("partition"),
        pl.col("event_type").cast(pl.Categorical),
        (pl.col("event_time").dt.time().cast(pl.Int64) // (HALF_HOUR_US * 1000))
        .cast(pl.Int8)
        .alias("half_hour"),
        pl.col("category_root").cast(pl.Categorical),
        bins.alias("bin"),
        *(pl.col(name).is_null().alias(f"no_{name}") for name in NULLABLE),
        *(pl.col(name).cast(pl.Categorical) for name in CATALOGUED),
    )
    half_hour = pl.col("half_hour").cast(pl.String).str.zfill(2)
    category = pl.col("category_root").cast(pl.String).fill_null(NO_CATEGORY)
    price_key = category + "|" + pl.col("bin").cast(pl.String)
    # One pass over the rows, which leaves few enough to be grouped again in several ways.
    cells = rows.group_by("day", "source", "partition", "event_type", "half_hour").agg(
        pl.len().cast(pl.Int64).alias("value"), *(pl.col(f"no_{name}").sum() for name in NULLABLE)
    )
    prices = rows.group_by("day", "source", "category_root", "bin").agg(pl.len().alias("value"))
    return pl.concat(
        [
            _count(cells, ["partition"], ROWS, pl.lit("")),
            *_count_nulls(cells),
            _count(cells, ["event_type"], TYPES, pl.col("event_type").cast(pl.String)),
            _count(cells, ["half_hour"], HALF_HOURS, half_hour),
            _as_statistics(prices, PRICES, price_key),
            *(_first_seen(rows, name) for name in CATALOGUED),
        ]
    )


def _count(cells: pl.DataFrame, by: list[str], metric: str, key: pl.Expr) -> pl.DataFrame:
    counted = cells.group_by("day", "source", *by).agg(pl.col("value").sum())
    return _as_statistics(counted, metric, key)


def _count_nulls(cells: pl.DataFrame) -> list[pl.DataFrame]:
    counted = cells.group_by("day", "source").agg(pl.col(f"no_{name}").sum() for name in NULLABLE)
    return [
        _as_statistics(
            counted.select("day", "source", pl.col(f"no_{name}").alias("value")).filter(
                pl.col("value") > 0
            ),
            NULLS,
            pl.lit(name),
        )
        for name in NULLABLE
    ]


def _first_seen(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    """Count the rows on the first day of each value of a column."""
    day = pl.col("day")
    first = (
        rows.group_by(column)
        .agg(day.min().alias("first"), (day == day.min()).sum().alias("value"))
        .drop_nulls(column)
        .select(column, "value", pl.col("first").alias("day"), pl.lit("").alias("source"))
    )
    return _as_statistics(first, FIRST_SEEN, pl.lit(f"{column}|") + pl.col(column).cast(pl.String))


def _as_statistics(counted: pl.DataFrame, metric: str, key: pl.Expr) -> pl.DataFrame:
    if "partition" not in counted.columns:
        counted = counted.with_columns(pl.lit(None, pl.Int32).alias("partition"))
    named = counted.with_columns(pl.lit(metric).alias("metric"), key.alias("key"))
    return named.select(pl.col(name).cast(dtype) for name, dtype in STATISTICS_SCHEMA.items())


def add_up(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Add statistics of different rows up.

    Args:
        parts: `STATISTICS_SCHEMA` each.

    Returns:
        `STATISTICS_SCHEMA`, one row per combination of `DIMENSIONS`, sorted by them. The same rows
        give the same frame, whatever parts they came in.
    """
    all_parts = pl.concat([pl.DataFrame(schema=STATISTICS_SCHEMA), *parts])
    summed = all_parts.group_by(DIMENSIONS).agg(pl.col("value").sum())
    # A value that one part saw first on a later day than another is older than that part knew.
    first_day = pl.col("day") == pl.col("day").min().over("key")
    is_first = pl.col("metric") == FIRST_SEEN
    first = summed.filter(is_first).filter(first_day)
    return pl.concat([summed.filter(~is_first), first]).sort(DIMENSIONS, nulls_last=False)


def late_rows(batch: pl.DataFrame, watermark: datetime | None) -> pl.DataFrame:
    """Count the rows of a micro-batch that are late, exact to half an hour.

    Args:
        batch: the statistics of the micro-batch.
        watermark: `advance` of all micro-batches before; None for the first.

    Returns:
        `STATISTICS_SCHEMA` with the metric `LATE`, to be added to the batch.
    """
    if watermark is None:
        return pl.DataFrame(schema=STATISTICS_SCHEMA)
    slots = _half_hours(batch)
    behind = (pl.lit(watermark) - pl.col("begin")).dt.total_microseconds() // HALF_HOUR_US
    late = slots.filter(behind > LATENESS_BINS)
    counted = late.group_by("day", "source").agg(pl.col("value").sum())
    return _as_statistics(counted, LATE, pl.lit(""))


def advance(watermark: datetime | None, batch: pl.DataFrame, arrived: datetime) -> datetime | None:
    """Return the watermark after a micro-batch: the half-hour that its newest rows began in.

    One row in a thousand may be ahead of it, and none that is more than a day ahead of its arrival
    counts, so that a clock that is wrong does not make everybody else late.

    Args:
        watermark: the watermark before; None for the first batch.
        batch: the statistics of the micro-batch.
        arrived: when the batch's oldest message was produced.
    """
    slots = _half_hours(batch).filter(pl.col("begin") <= pl.lit(arrived).dt.offset_by("1d"))
    if not slots.height:
        return watermark
    by_time = slots.group_by("begin").agg(pl.col("value").sum()).sort("begin")
    reached = by_time.filter(pl.col("value").cum_sum() >= pl.col("value").sum() * 0.999)
    newest: datetime = reached["begin"][0]
    return newest if watermark is None else max(watermark, newest)


def arrived_rows(batch: pl.DataFrame, arrived: datetime) -> pl.DataFrame:
    """Count a micro-batch's rows by source, on the day of its arrival.

    Returns:
        `STATISTICS_SCHEMA` with the metric `ARRIVED`, to be added to the batch.
    """
    rows = batch.filter(pl.col("metric") == ROWS)
    counted = rows.group_by("source").agg(pl.col("value").sum())
    return _as_statistics(
        counted.with_columns(pl.lit(arrived.date()).alias("day")), ARRIVED, pl.lit("")
    )


def _half_hours(batch: pl.DataFrame) -> pl.DataFrame:
    """Return the rows by half-hour with the time at which each began."""
    slots = batch.filter(pl.col("metric") == HALF_HOURS)
    minutes = pl.col("key").cast(pl.Int64) * 30
    midnight = pl.col("day").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return slots.select(
        "day", "source", "value", (midnight + pl.duration(minutes=minutes)).alias("begin")
    )
