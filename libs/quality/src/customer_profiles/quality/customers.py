"""Statistics of a bucket's customers by day: pure, and they add up over buckets.

A customer is in one bucket only, so that numbers of customers add up, too.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

CUSTOMER_SCHEMA: dict[str, pl.DataType] = {
    "day": pl.Date(),
    "metric": pl.String(),
    "value": pl.Int64(),
}
"""The columns of `quality/bucket=07/days.parquet`."""
STORED = "stored"
"""Stored events, repeats included."""
EVENTS = "events"
"""Events, each once."""
CUSTOMERS = "customers"
"""Customers with an event."""
SESSIONS = "sessions"
BUYERS = "buyers"
"""Customers with a purchase."""
PURCHASES = "purchases"
REVENUE = "revenue"
"""The sum of the purchases' prices, in ten-thousandths of the currency."""
NEW_CUSTOMERS = "new_customers"
"""Customers whose first event is on that day."""
MOST_EVENTS = "most_events"
"""The events of the customer with the most events. It is the only number that is a maximum."""
UNITS = 10_000
"""Units of `REVENUE` in one of the currency."""
MAX_PRICE = 10**12
"""A higher price counts as this one, in units, so that no sum overflows."""


def summarise_stored(events: pl.DataFrame) -> pl.DataFrame:
    """Count stored events by day, repeats included.

    Args:
        events: `event_time` Datetime(us, UTC).

    Returns:
        `CUSTOMER_SCHEMA`, in any order, for `add_up`.
    """
    days = events.select(pl.col("event_time").dt.date().alias("day"))
    return _long(days.group_by("day").agg(pl.len().alias(STORED)))


def summarise_customers(events: pl.DataFrame) -> pl.DataFrame:
    """Summarise all events of some customers by day.

    Args:
        events: `event_time` Datetime(us, UTC), `event_type`, `user_id`, `user_session` String,
            `price` Decimal(18, 4), each event once, all events of each customer.

    Returns:
        `CUSTOMER_SCHEMA`, in any order, for `add_up`.
    """
    is_purchase = pl.col("event_type") == "purchase"
    price = (pl.col("price").cast(pl.Float64) * UNITS).round().clip(0, MAX_PRICE).cast(pl.Int64)
    by_session = (
        events.lazy()
        .select(
            pl.col("event_time").dt.date().alias("day"),
            # Grouping numbers is several times as fast as grouping texts.
            pl.col("user_id", "user_session").hash(),
            is_purchase.alias("bought"),
            pl.when(is_purchase).then(price).otherwise(0).alias("paid"),
        )
        .group_by("user_id", "day", "user_session")
        .agg(pl.len().alias("events"), pl.col("bought", "paid").sum())
    )
    by_customer = by_session.group_by("user_id", "day").agg(
        pl.len().alias("sessions"), pl.col("events", "bought", "paid").sum()
    )
    is_first = pl.col("day") == pl.col("day").min().over("user_id")
    by_day = (
        by_customer.with_columns(is_first.alias("new"))
        .group_by("day")
        .agg(
            pl.col("events").sum().alias(EVENTS),
            pl.len().alias(CUSTOMERS),
            pl.col("sessions").sum().alias(SESSIONS),
            (pl.col("bought") > 0).sum().alias(BUYERS),
            pl.col("bought").sum().alias(PURCHASES),
            pl.col("paid").sum().alias(REVENUE),
            pl.col("new").sum().alias(NEW_CUSTOMERS),
            pl.col("events").max().alias(MOST_EVENTS),
        )
    )
    return _long(by_day.collect())


def _long(by_day: pl.DataFrame) -> pl.DataFrame:
    metrics = [name for name in by_day.columns if name != "day"]
    casts = [pl.col(name).cast(pl.Int64) for name in metrics]
    long = by_day.with_columns(casts).unpivot(metrics, index="day", variable_name="metric")
    return long.select(pl.col(name).cast(dtype) for name, dtype in CUSTOMER_SCHEMA.items())


def add_up(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Add statistics of different customers up.

    Args:
        parts: `CUSTOMER_SCHEMA` each.

    Returns:
        `CUSTOMER_SCHEMA`, one row per day and metric, sorted by them.
    """
    value = pl.col("value")
    is_maximum = pl.col("metric") == MOST_EVENTS
    return (
        pl.concat([pl.DataFrame(schema=CUSTOMER_SCHEMA), *parts])
        .group_by("day", "metric")
        .agg(value.sum().alias("sum"), value.max().alias("max"))
        .select("day", "metric", pl.when(is_maximum).then("max").otherwise("sum").alias("value"))
        .sort("day", "metric")
    )
