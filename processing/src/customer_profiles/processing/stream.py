"""The schedule of a stream: profiles that follow the events within seconds.

Every interval, what is new lands as one micro-batch, and its customers are indexed at once.
The lake's profiles follow some buckets at a time, each bucket once in `FLUSH_INTERVAL_S`.
No batch therefore waits while all buckets are written.
A stream that ends brings everything up to its last batch.
After a stream that was killed, the next run does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from customer_profiles.common.errors import PipelineError
from customer_profiles.kafka.admin import watermarks
from customer_profiles.lake.batch_log import LandedBatch
from customer_profiles.processing.batch import land_all, update_profiles
from customer_profiles.processing.report import MicroBatch, RunReport
from customer_profiles.processing.stages.count_events import count_events
from customer_profiles.processing.stages.index import find_live_index, index_newest_customers
from customer_profiles.processing.stages.land import land_batch
from customer_profiles.processing.stages.plan import load_state, plan_batch
from customer_profiles.processing.stages.publish import publish_report, publish_run
from customer_profiles.processing.state import Context
from customer_profiles.processing.stream_state import (
    CHECKPOINT_INTERVAL_S,
    REPORTED_BATCHES,
    StreamState,
    checkpoint,
    first_error,
    flush_some,
    update_buckets,
    write_batches,
)
from customer_profiles.processing.tasks.profile import ProfileTask

MAX_NEWEST_EVENTS = 100_000
"""Above this many events in a batch, `update_bucket` is faster than indexing the batch first."""


def follow(
    context: Context,
    *,
    holds_lease: Callable[[], bool],
    stop: threading.Event,
    on_ready: Callable[[], None],
    on_batch: Callable[[MicroBatch], None],
) -> RunReport:
    """Follow the topic until `stop` is set.

    Args:
        context: the clients of the run.
        holds_lease: tells whether this stream still is the only one.
        stop: ends the stream after the current micro-batch.
        on_ready: called once the backlog is done and the stream follows.
        on_batch: called after every micro-batch.

    Returns:
        What was done in all, as `batch.process` returns it.

    Raises:
        PipelineError: another stream took over, a server does not answer, or a step fails.
            Everything that was done stays, and the next run goes on from there.
    """
    run = land_all(context, load_state(context, holds_lease=True))
    run = update_profiles(context, run)
    context.start_spark(run.live_index)
    state = StreamState(run, lagging={}, saved_at=time.monotonic())
    on_ready()
    # Only this wait can be interrupted. Ctrl-C sets `stop`, so no step ends half-way.
    while not stop.is_set():
        began = time.monotonic()
        state, batch = step(context, state)
        if batch is not None:
            on_batch(batch)
        if not holds_lease():
            raise PipelineError(
                "Another stream has taken over, or the lake did not answer for long; this one has "
                "stopped.\nNothing is lost: `make status`, then `make stream` again."
            )
        elapsed = time.monotonic() - began
        stop.wait(max(0.0, context.settings.stream_interval_s - elapsed))
    return publish_report(context, finish(context, state).run)


def step(context: Context, state: StreamState) -> tuple[StreamState, MicroBatch | None]:
    """Land one micro-batch if there is something new, and flush some lagging buckets."""
    began = time.perf_counter()
    if state.run.live_index is None:
        state = replace(state, run=find_live_index(context, state.run))
    planned = plan_batch(context)
    newest: _Newest | None = None
    land_s = 0.0
    if planned is not None:
        run, landed = land_batch(context, state.run, planned)
        land_s = time.perf_counter() - began
        state, newest = _index_batch(context, replace(state, run=run), planned.batch.number, landed)
    visible_at, visible_s = datetime.now(UTC), time.perf_counter() - began
    state, flush_error = flush_some(context, state)
    if time.monotonic() - state.saved_at > CHECKPOINT_INTERVAL_S:
        state = checkpoint(context, state)
    if newest is None:
        return state, None
    seconds = time.perf_counter() - began
    # The last key has been in the report since 0.1: the time to flush lagging buckets.
    stages = {"land": land_s, "index": visible_s - land_s, "settle": seconds - visible_s}
    batch = MicroBatch(
        batch=newest.number,
        at=visible_at.isoformat(timespec="milliseconds"),
        events=newest.landed.events,
        invalid_messages=newest.landed.invalid_messages,
        customers=newest.customers,
        seconds=round(seconds, 3),
        seconds_by_stage={name: round(value, 3) for name, value in stages.items()},
        lag_events=_unread_messages(context),
        lag_seconds=_lag_seconds(newest.landed, visible_at),
        lagging_buckets=len(state.lagging),
        error=flush_error or newest.error,
    )
    publish_run(context, state.run, "stream", batch.to_json())
    return replace(state, batches=(*state.batches[-REPORTED_BATCHES + 1 :], batch)), batch


def finish(context: Context, state: StreamState) -> StreamState:
    """Bring everything up to the last message."""
    run = state.run
    if run.live_index is None:
        run = find_live_index(context, run)
    run = update_profiles(context, land_all(context, run))
    run = count_events(context, run, state.uncounted)
    state = replace(state, run=run, uncounted=frozenset())
    write_batches(context, state)
    return state


@dataclass(frozen=True, slots=True)
class _Newest:
    """The batch that has just landed, and what became of its customers."""

    number: int
    landed: LandedBatch
    customers: int = 0
    error: str | None = None


def _index_batch(
    context: Context, state: StreamState, number: int, landed: LandedBatch
) -> tuple[StreamState, _Newest]:
    """Index the customers of a batch that has just landed."""
    newest = _Newest(number, landed)
    buckets = sorted(landed.events_by_bucket)
    added = {bucket: number for bucket in buckets if bucket not in state.lagging}
    state = replace(state, lagging={**state.lagging, **added})
    index = state.run.live_index
    if not buckets:
        return state, newest
    if index is None:
        return state, replace(newest, error=state.run.index_error)
    if landed.events > MAX_NEWEST_EVENTS:
        state, results = update_buckets(context, state, sorted(state.lagging))
        customers, error = sum(result.updated for result in results), first_error(results)
    else:
        task = ProfileTask(number, context.segments, datetime.now(UTC), index)
        indexed = index_newest_customers(context, buckets, task, index)
        customers, error = indexed.customers, indexed.error
        total = state.run.profiles_indexed + customers
        state = replace(state, run=replace(state.run, profiles_indexed=total))
    if error is None:
        context.index.refresh(index)
    else:
        # The index may have been deleted. The next batch looks again which one is live.
        state = replace(state, run=replace(state.run, live_index=None))
    return state, replace(newest, customers=customers, error=error)


def _lag_seconds(landed: LandedBatch, visible_at: datetime) -> float | None:
    """Return the time from a batch's first message to its customers being visible."""
    if not landed.oldest_ms:
        return None
    return round(visible_at.timestamp() - landed.oldest_ms / 1000, 3)


def _unread_messages(context: Context) -> int:
    """Return how many offsets of the topic are in no batch yet."""
    planned = context.batch_log.next_offsets()
    ends = {partition: end for partition, (_, end) in watermarks(context.tasks.kafka).items()}
    return sum(max(0, end - planned.get(partition, 0)) for partition, end in ends.items())
