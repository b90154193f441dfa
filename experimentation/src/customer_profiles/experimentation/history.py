"""Read out of the lake what an experiment of the past would have seen, bucket by bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from customer_profiles.common.errors import PipelineError
from customer_profiles.experimentation.definition import Eligibility, Experiment, Metric
from customer_profiles.experimentation.lake_measures import MAX_CUSTOMERS, NO_EVENTS
from customer_profiles.experimentation.measure import Measured, join, measure
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.events import EventPartition
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.profiles.aggregate import build_from_distinct, deduplicate_events
from customer_profiles.profiles.segments import Segments

LONGEST = 56
"""Days of history that are used at most: older behaviour says less about tomorrow's."""


@dataclass(frozen=True, slots=True)
class History:
    """Customers of the past, with all windows closed."""

    measured: Measured
    first: datetime
    days: int


def read_history(
    store: ObjectStore,
    experiment: Experiment,
    metric: Metric,
    as_of: datetime,
    oldest: datetime,
    segments: Segments,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> History:
    """Measure an experiment without a treatment that ended just before its windows closed.

    Args:
        store: the lake.
        experiment: who is eligible.
        metric: its primary metric.
        as_of: the time of the newest event in the lake (`lake_measures.newest_event`).
        oldest: the time of the oldest event. A fifth of the time is left for covariates.
        segments: the rules for segments.
        progress: called with the buckets that are done, and all buckets.

    Raises:
        PipelineError: the lake has less history than the window of the metric and one day.
    """
    last = as_of - metric.window
    days = min(LONGEST, (last - oldest) // timedelta(days=1))
    if days < 1:
        raise PipelineError(
            f"The lake has events of {(as_of - oldest) / timedelta(days=1):.1f} days, and "
            f"{metric.name} has a window of {metric.window_days} days.\n"
            "Plan when there are more events, or declare a metric with a shorter window."
        )
    days = max(1, days * 4 // 5) if days < LONGEST else days
    first = last - timedelta(days=days)
    parts = [
        measure(NO_EVENTS, past_exposures(NO_EVENTS, experiment, first, last), [metric], as_of)
    ]
    for events in _all_customers(store, progress):
        exposed = past_exposures(events, experiment, first, last)
        exposed = eligible(events, exposed, experiment.eligible, segments)
        parts.append(measure(events, exposed, [metric], as_of))
    measured = join(parts)
    if measured.customers.is_empty():
        raise PipelineError(
            f"No customer of the last {days} days would have been eligible for {experiment.name}.\n"
            "Widen [eligible], or wait for more events."
        )
    return History(measured, first, days)


def past_exposures(
    events: pl.DataFrame, experiment: Experiment, first: datetime, last: datetime
) -> pl.DataFrame:
    """Return the exposures that an experiment of the past would have had.

    A customer would have been exposed with the first event from `first` on. Whether the customer is
    eligible is a question to the profile of just before; `eligible` answers it.

    Args:
        events: `user_id` String and `event_time` Datetime(us, UTC).
        experiment: for the name of the control.
        first: the start.
        last: the end; events at it or later do not expose.

    Returns:
        `EXPOSURE_SCHEMA`, one row per customer, sorted by `user_id`.
    """
    time = pl.col("event_time")
    return (
        events.filter((time >= first) & (time < last))
        .group_by("user_id")
        .agg(time.min().alias("exposed_at"))
        .select("user_id", pl.lit(experiment.control.name).alias("variant"), "exposed_at")
        .sort("user_id")
    )


def eligible(
    events: pl.DataFrame, exposed: pl.DataFrame, who: Eligibility, segments: Segments
) -> pl.DataFrame:
    """Keep the customers who were eligible by their profile just before the exposure.

    Customers without any earlier event have no profile, and are kept if nothing is asked for.
    """
    if not who.segments and not who.conditions:
        return exposed
    earlier = (
        deduplicate_events(events)
        .join(exposed.select("user_id", "exposed_at"), on="user_id", how="inner")
        .filter(pl.col("event_time") < pl.col("exposed_at"))
        .drop("exposed_at")
    )
    now = earlier["event_time"].max()
    if not isinstance(now, datetime):
        return exposed.clear()
    profiles = build_from_distinct(earlier, segments, now)
    return exposed.join(profiles.filter(_holds(who)), on="user_id", how="semi")


def _holds(who: Eligibility) -> pl.Expr:
    conditions: list[pl.Expr] = []
    if who.segments:
        conditions.append(pl.col("customer_segment").is_in(who.segments))
    for item in who.conditions:
        if item.at_least is not None:
            conditions.append(pl.col(item.field) >= pl.lit(item.at_least))
        if item.at_most is not None:
            conditions.append(pl.col(item.field) <= pl.lit(item.at_most))
    return pl.all_horizontal(conditions)


def _all_customers(
    store: ObjectStore, progress: Callable[[int, int], None]
) -> Iterator[pl.DataFrame]:
    """Yield all events, those of some tens of thousands of customers at a time."""
    log = BatchLog(store)
    buckets = log.buckets() or 0
    for bucket in range(buckets):
        partition = EventPartition(store, bucket)
        files = partition.live_files(log.last_committed)
        users = partition.user_ids(files).sort() if files else pl.Series([], dtype=pl.String)
        for start in range(0, len(users), MAX_CUSTOMERS):
            yield partition.read_events(files, users.slice(start, MAX_CUSTOMERS))
        progress(bucket + 1, buckets)
