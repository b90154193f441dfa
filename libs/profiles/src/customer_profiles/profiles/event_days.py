"""The days on which each customer has an event, by which an index finds customers of a range."""

from __future__ import annotations

import polars as pl

from customer_profiles.profiles.schema import EVENT_DAYS, EVENT_DAYS_TYPE


def find_event_days(events: pl.DataFrame) -> pl.DataFrame:
    """Find the days on which each customer has an event.

    Args:
        events: `user_id` String and `event_time` Datetime(us, UTC), in any order. Duplicates change
            nothing.

    Returns:
        `user_id` String and `event_days` List(Date), one row per customer, sorted by `user_id`.
        Days are those of UTC, each once, in ascending order; there are as many as the profile's
        `days_active` says.
    """
    return group_days(events.select("user_id", pl.col("event_time").dt.date().alias(EVENT_DAYS)))


def group_days(days: pl.DataFrame) -> pl.DataFrame:
    """Collect the days of each customer.

    Args:
        days: `user_id` String and `event_days` Date, one row per day, in any order, with or without
            duplicates.

    Returns:
        As of `find_event_days`.
    """
    # Sorting all rows at once is faster than sorting the days of each customer.
    return (
        days.unique()
        .sort("user_id", EVENT_DAYS)
        .group_by("user_id", maintain_order=True)
        .agg(pl.col(EVENT_DAYS).cast(EVENT_DAYS_TYPE.inner))
    )
