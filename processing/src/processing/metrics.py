"""Events counted for charts: a pure function, as profiles are."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import polars as pl

NONE = "(none)"
"""In place of a category or brand that events do not have."""
RECENT = timedelta(hours=2)
"""Events are also counted by minute that are no older than this before the newest."""
DIMENSIONS = ["granularity", "time", "event_type", "category", "brand", "customer_segment"]
METRIC_SCHEMA: dict[str, pl.DataType] = {
    "granularity": pl.String(),
    "time": pl.Datetime("us", "UTC"),
    "event_type": pl.String(),
    "category": pl.String(),
    "brand": pl.String(),
    "customer_segment": pl.String(),
    "events": pl.Int64(),
    "revenue": pl.Decimal(18, 4),
}
"""The columns of `event_metrics/bucket=…/metrics.parquet`: `granularity` is `day` or `minute`, `time` its
beginning (UTC), `category` the top level of `category_code`, `customer_segment` the segment that the
customer has now, `revenue` the sum of the prices of purchases. Days and minutes count the same events:
look at one of the two."""


def count_events(events: pl.DataFrame, profiles: pl.DataFrame) -> pl.DataFrame:
    """How many events there were by day, and the recent ones by minute.

    Args:
        events: as `build_profiles` takes them, each event once.
        profiles: `user_id` and `customer_segment` of all customers who have events.

    Returns:
        The columns of `METRIC_SCHEMA`, texts as Categorical, in any order; for `add_metrics`.
    """
    described = events.join(profiles.select("user_id", "customer_segment"), on="user_id").select(
        "event_time",
        "event_type",
        pl.col("category_code").str.split_exact(".", 1).struct.field("field_0").fill_null(NONE).alias("category"),
        pl.col("brand").fill_null(NONE),
        "customer_segment",
        pl.lit(1, pl.Int64).alias("events"),
        pl.when(pl.col("event_type") == "purchase").then("price").otherwise(0).alias("revenue"),
    )
    recent = described.filter(pl.col("event_time") > pl.col("event_time").max() - RECENT)
    return group_counts(
        part.with_columns(pl.lit(name).alias("granularity"), pl.col("event_time").dt.truncate(step).alias("time"))
        for name, step, part in (("day", "1d", described), ("minute", "1m", recent))
    )


def add_metrics(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Several counts as one, with `METRIC_SCHEMA`, in order.

    Minutes that are not recent any more beside newer ones are left out.
    """
    counts = group_counts(parts)
    # Sorted as numbers in the order of their texts, which is quicker than to sort texts.
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
    """`add_metrics` for what is to be added further: texts as Categorical, in any order."""
    # Texts as numbers: a third of the memory, and quicker to group.
    types = {name: pl.Categorical() if dtype == pl.String() else dtype for name, dtype in METRIC_SCHEMA.items()}
    found = [part.select(pl.col(name).cast(dtype) for name, dtype in types.items()) for part in parts]
    minutes = [part["time"].filter(part["granularity"] == "minute").max() for part in found]
    newest = pl.lit(pl.Series(minutes, dtype=types["time"]).max(), types["time"])
    every = pl.concat([pl.LazyFrame(schema=types), *(part.lazy() for part in found)])
    return (
        every.filter((pl.col("granularity") == "day") | (pl.col("time") > newest - RECENT))
        .group_by(DIMENSIONS)
        .agg(pl.col("events").sum(), pl.col("revenue").sum())
        # Takes less memory than a table of all groups beside all rows.
        .collect(engine="streaming")
    )
