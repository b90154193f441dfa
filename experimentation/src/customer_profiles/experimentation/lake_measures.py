"""Measure exposed customers out of the lake, bucket by bucket, so that memory stays small."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import polars as pl

from customer_profiles.common.clock import now_utc
from customer_profiles.contracts.buckets import bucket_of
from customer_profiles.experimentation.definition import Metric
from customer_profiles.experimentation.measure import Measured, join, measure
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.events import EventPartition
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.profiles import read_profiles
from customer_profiles.profiles.schema import EVENT_COLUMNS, PRICE
from customer_profiles.profiles.segments import Segments

MAX_CUSTOMERS = 20_000
"""Customers whose events are in memory at once."""
NO_EVENTS = pl.DataFrame(
    schema={
        **dict.fromkeys(EVENT_COLUMNS, pl.String()),
        "event_time": pl.Datetime("us", "UTC"),
        "price": PRICE,
    }
)
"""A frame of events without rows."""


def measure_lake(
    store: ObjectStore,
    exposed: pl.DataFrame,
    metrics: Sequence[Metric],
    as_of: datetime,
    segments: Segments | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Measured:
    """Measure the metrics of exposed customers.

    Args:
        store: the lake.
        exposed: `EXPOSURE_SCHEMA`, one row per customer (`first_exposures`).
        metrics: the metrics, the primary one first.
        as_of: the time of the newest event in the lake (`newest_event`).
        segments: the rules for the segment before the exposure.
        progress: called with the buckets that are done, and all buckets.

    Raises:
        PipelineError: a file of the lake is damaged or disappears.
    """
    parts = [measure(NO_EVENTS, exposed.clear(), metrics, as_of, segments)]
    for events, customers in _by_bucket(store, exposed, progress):
        parts.append(measure(events, customers, metrics, as_of, segments))
    return join(parts)


def event_span(
    store: ObjectStore,
    now: datetime,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[datetime, datetime] | None:
    """Return the times of the oldest and the newest event; None without events.

    Args:
        store: the lake. Its profiles say when each customer was seen first and last.
        now: the time in UTC. Later events come from wrong clocks, and would close windows too soon.
        progress: called with the buckets that are done, and all buckets.
    """
    buckets = BatchLog(store).buckets() or 0
    oldest: list[datetime] = []
    newest: list[datetime] = []
    for bucket in range(buckets):
        profiles = read_profiles(store, bucket).profiles
        for times, seen in ((oldest, profiles["first_seen"]), (newest, profiles["last_seen"])):
            past = seen.filter(seen <= now)
            bound = past.min() if times is oldest else past.max()
            if isinstance(bound, datetime):
                times.append(bound)
        progress(bucket + 1, buckets)
    return (min(oldest), max(newest)) if oldest and newest else None


def newest_event(
    store: ObjectStore, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> datetime | None:
    """Return the time of the newest event in the lake that is not in the future."""
    span = event_span(store, now_utc(), progress)
    return span[1] if span else None


def _by_bucket(
    store: ObjectStore, exposed: pl.DataFrame, progress: Callable[[int, int], None]
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Yield customers with all of their events, some tens of thousands at a time."""
    log = BatchLog(store)
    buckets = log.buckets() or 1
    of_user = [bucket_of(user, buckets) for user in exposed["user_id"]]
    placed = exposed.with_columns(pl.Series("bucket", of_user, pl.Int32))
    for bucket in range(buckets):
        customers = placed.filter(pl.col("bucket") == bucket).drop("bucket")
        partition = EventPartition(store, bucket)
        files = partition.live_files(log.last_committed)
        for start in range(0, customers.height, MAX_CUSTOMERS):
            some = customers.slice(start, MAX_CUSTOMERS)
            events = partition.read_events(files, some["user_id"]) if files else NO_EVENTS
            yield events, some
        progress(bucket + 1, buckets)
