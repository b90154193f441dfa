"""Events counted for charts: pure functions, as `aggregate` has them for profiles."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import polars as pl

from customer_profiles.profiles.schema import PRICE_SUM, category_root_expr

NONE = "(none)"
"""Stands for the category or brand of events that have none."""
OTHER = "(other)"
"""Stands for all brands but the `TOP_BRANDS` with the most events."""
TOP_BRANDS = 20
"""How many brands keep their name after `reduce_brands`."""
RECENT = timedelta(hours=2)
"""Events that are less than this much older than the newest are counted by minute as well."""
CLOCK_ERROR = timedelta(days=1)
"""Events that are more than this much ahead of the clock do not count as the newest.

Clocks and time zones may be wrong. A wrong year must not hide what happened today."""
DIMENSIONS = ["granularity", "time", "event_type", "category", "brand", "customer_segment"]
"""The columns that identify a row of counts."""
METRIC_SCHEMA: dict[str, pl.DataType] = {
    "granularity": pl.String(),
    "time": pl.Datetime("us", "UTC"),
    "event_type": pl.String(),
    "category": pl.String(),
    "brand": pl.String(),
    "customer_segment": pl.String(),
    "events": pl.Int64(),
    "revenue": PRICE_SUM,
}
"""The columns of `event_metrics/bucket=…/metrics.parquet`.

`granularity` is `day` or `minute` and `time` is the start of that day or minute (UTC). `category`
is the top level of `category_code`. `customer_segment` is the customer's current segment. `revenue`
is the sum of the prices of purchases. Days and minutes count the same events, so a query must
choose one granularity."""


def count_events(
    events: pl.DataFrame, profiles: pl.DataFrame, now: datetime | None = None
) -> pl.DataFrame:
    """Count events by day, and recent ones by minute as well.

    Args:
        events: as `build_profiles` takes them, each event once.
        profiles: `user_id` and `customer_segment` of all customers who have events.
        now: the current time, in UTC; events that are further ahead than `CLOCK_ERROR` are not
            recent. None: no event is too far ahead.

    Returns:
        The columns of `METRIC_SCHEMA` with texts as Categorical, in any order, for `add_counts`.
    """
    is_purchase = pl.col("event_type") == "purchase"
    segments = profiles.select("user_id", "customer_segment")
    described = events.join(segments, on="user_id").select(
        "event_time",
        "event_type",
        category_root_expr("category_code").fill_null(NONE).alias("category"),
        pl.col("brand").fill_null(NONE),
        "customer_segment",
        pl.lit(1, pl.Int64).alias("events"),
        pl.when(is_purchase).then("price").otherwise(0).alias("revenue"),
    )
    time = pl.col("event_time")
    past = time if now is None else pl.when(time <= now + CLOCK_ERROR).then(time)
    recent = described.filter(past > past.max() - RECENT)
    return group_counts(
        part.with_columns(
            pl.lit(granularity).alias("granularity"), time.dt.truncate(step).alias("time")
        )
        for granularity, step, part in (("day", "1d", described), ("minute", "1m", recent))
    )


def add_counts(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Add several counts up, without minutes that are no longer recent.

    Args:
        parts: counts of different events, with the columns of `METRIC_SCHEMA`.

    Returns:
        `METRIC_SCHEMA`, one row per combination of `DIMENSIONS`, sorted by them.
    """
    counts = group_counts(parts)
    # Sorting enumerations in text order is faster than sorting texts.
    ordered = [
        pl.col(name).cast(pl.Enum(counts[name].unique().cast(pl.String).sort()))
        for name, dtype in METRIC_SCHEMA.items()
        if dtype == pl.String()
    ]
    return (
        counts.with_columns(ordered)
        .sort(DIMENSIONS)
        .select(pl.col(name).cast(dtype) for name, dtype in METRIC_SCHEMA.items())
    )


def group_counts(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Add counts up as `add_counts` does, as an intermediate result that is added up again.

    Args:
        parts: counts of different events, with the columns of `METRIC_SCHEMA`.

    Returns:
        The columns of `METRIC_SCHEMA` with texts as Categorical, in any order.
    """
    # Categorical texts take a third of the memory and are faster to group.
    types = {
        name: pl.Categorical() if dtype == pl.String() else dtype
        for name, dtype in METRIC_SCHEMA.items()
    }
    columns = [pl.col(name).cast(dtype) for name, dtype in types.items()]
    counts = [part.select(columns) for part in parts]
    minutes = [part["time"].filter(part["granularity"] == "minute").max() for part in counts]
    newest = pl.lit(pl.Series(minutes, dtype=types["time"]).max(), types["time"])
    all_counts = pl.concat([pl.LazyFrame(schema=types), *(part.lazy() for part in counts)])
    return (
        all_counts.filter((pl.col("granularity") == "day") | (pl.col("time") > newest - RECENT))
        .group_by(DIMENSIONS)
        .agg(pl.col("events").sum(), pl.col("revenue").sum())
        # The streaming engine does not hold all rows and all groups at once.
        .collect(engine="streaming")
    )


def count_brands(counts: pl.DataFrame) -> pl.DataFrame:
    """Sum up events by brand.

    Args:
        counts: `granularity`, `brand` and `events` of `METRIC_SCHEMA`.

    Returns:
        `brand` String and `events` Int64, one row per brand.
    """
    by_day = counts.filter(pl.col("granularity") == "day")
    return by_day.group_by("brand").agg(pl.col("events").sum())


def top_brands(brand_counts: Iterable[pl.DataFrame]) -> tuple[str, ...]:
    """Find the `TOP_BRANDS` brands with the most events over several counts by brand.

    Args:
        brand_counts: results of `count_brands` for different events.

    Returns:
        The brands in alphabetical order. A tie goes to the alphabetically first.
    """
    parts = list(brand_counts)
    if not parts:
        return ()
    summed = pl.concat(parts).group_by("brand").agg(pl.col("events").sum())
    top = summed.sort(["events", "brand"], descending=[True, False]).head(TOP_BRANDS)
    return tuple(top["brand"].sort().to_list())


def reduce_brands(counts: pl.DataFrame, brands: tuple[str, ...]) -> pl.DataFrame:
    """Count all brands but some as `OTHER`, so that few enough rows are left to index.

    Args:
        counts: `METRIC_SCHEMA`.
        brands: the brands that keep their name.

    Returns:
        The columns of `METRIC_SCHEMA` with texts as Categorical, in any order, for `add_counts`.
    """
    is_kept = pl.col("brand").is_in(pl.Series(brands, dtype=pl.String).implode())
    brand = pl.when(is_kept).then("brand").otherwise(pl.lit(OTHER)).alias("brand")
    return group_counts([counts.with_columns(brand)])
