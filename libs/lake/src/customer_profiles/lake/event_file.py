"""The columns and the order of data files, how many events one has, and how to cut them."""

from __future__ import annotations

import io
from typing import Any

import polars as pl

from customer_profiles.contracts import COLUMNS
from customer_profiles.lake.checksums import EVENTS
from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.object_store import StoredObject
from customer_profiles.profiles.schema import PRICE

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
"""The columns of data files, in order."""
SORT_ORDER = ["user_id", "event_time", "event_id", "kafka_partition", "kafka_offset"]
"""A total order, so that landing a batch again writes the same bytes."""


def stored_events(name: str, stored: StoredObject) -> int:
    """Return the number of events in a data file. One of version 0.2 does not say it.

    Raises:
        DamagedObjectError: such a file is no Parquet.
    """
    if EVENTS in stored.attributes:
        return int(stored.attributes[EVENTS])
    try:
        rows = pl.scan_parquet(io.BytesIO(stored.data)).select(pl.len()).collect()
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DamagedObjectError(name, f"it is no Parquet file ({error})", stored.etag) from error
    return int(rows.item())


def slice_bounds(events: pl.LazyFrame, size: int) -> pl.DataFrame:
    """Cut customers into slices of about as many events.

    Args:
        events: `user_id` String, one row per event.
        size: events of a slice.

    Returns:
        `first` and `last` String: the customers with whom each slice begins and ends, in order.
    """
    counts = events.group_by("user_id").len().sort("user_id")
    slice_number = (pl.col("len").cum_sum() // size).alias("slice")
    user_id = pl.col("user_id")
    bounds = (
        counts.with_columns(slice_number)
        .group_by("slice")
        .agg(user_id.first().alias("first"), user_id.last().alias("last"))
        .sort("slice")
        .select("first", "last")
    )
    return bounds.collect()
