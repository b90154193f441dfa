"""The days on which each customer has an event, by which an index finds customers of a range."""

from __future__ import annotations

import polars as pl

from customer_profiles.profiles.schema import EVENT_DAYS


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
    days = events.select("user_id", pl.col("event_time").dt.date().alias(EVENT_DAYS)).unique()
    # Sorting all rows at once is faster than sorting the days of each customer.
    ordered = days.sort("user_id", EVENT_DAYS)
    return ordered.group_by("user_id", maintain_order=True).agg(EVENT_DAYS)
