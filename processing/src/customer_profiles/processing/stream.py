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
from functools import partial

from customer_profiles.common.outages import Outages
from customer_profiles.kafka.errors import BrokerUnavailableError
from customer_profiles.lake.batch_log import LandedBatch
from customer_profiles.lake.expectation import expected_events
from customer_profiles.processing.batch import Landed, land_all, land_next, update_profiles
from customer_profiles.processing.patience import WAITS, Patience, Retry, check_lease, try_once
from customer_profiles.processing.report import MicroBatch, RunReport
from customer_profiles.processing.stages.build_profiles import save_manifest
from customer_profiles.processing.stages.count_events import count_events
from customer_profiles.processing.stages.index import (
    find_live_index,
    index_newest_customers,
    refresh,
)
from customer_profiles.processing.stages.plan import load_state
from customer_profiles.processing.stages.publish import publish_report, publish_run
from customer_profiles.processing.stages.topic import Horizon, look_at_topic
from customer_profiles.processing.state import Context, RunState
from customer_profiles.processing.stream_gaps import look_again, settle_at_end, watch_gaps
from customer_profiles.processing.stream_state import (
    CHECKPOINT_INTERVAL_S,
    REPORTED_BATCHES,
    StreamState,
    checkpoint,
    first_error,
    flush_some,
    lag_seconds,
    look_for_index,
    unread_messages,
    update_buckets,
    write_batches,
)
from customer_profiles.processing.tasks.profile import ProfileTask

GOES_ON_INDEXING = "the index takes profiles again"
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
    """Follow the topic until `stop` is set; return what was done in all.

    Args:
        context: the clients of the run.
        holds_lease: tells whether this stream still is the only one.
        stop: ends the stream after the current micro-batch. What has landed becomes profiles.
        on_ready: called once the backlog is done and the stream follows.
        on_batch: called after every micro-batch.

    Raises:
        PipelineError: another stream took over, a server is away at the beginning or at the end,
            or a step fails. The next run goes on from there.
    """
    outages = Outages(context.settings.reports, "stream", f"{WAITS}.")
    retry = Patience(stop, holds_lease, outages)
    run = load_state(context, holds_lease=True)
    run = land_all(context, run, stop=stop, retry=retry)
    run = retry(partial(update_profiles, context, run))
    state = StreamState(run, lagging={}, saved_at=time.monotonic())
    if not stop.is_set():
        context.start_spark(run.live_index)
        on_ready()
    # Only this wait can be interrupted. Ctrl-C sets `stop`, so no step ends half-way.
    while not stop.is_set():
        began = time.monotonic()
        try:
            state, batch = step(context, state, retry)
        except BrokerUnavailableError:
            if stop.is_set():
                # Kafka is away, and what has landed needs it no more.
                break
            raise
        _tell_of_index(outages, state)
        if batch is not None:
            on_batch(batch)
        elapsed = time.monotonic() - began
        stop.wait(max(0.0, context.settings.stream_interval_s - elapsed))
    outages.close()
    check_lease(holds_lease)
    return publish_report(context, finish(context, state).run)


def _tell_of_index(outages: Outages, state: StreamState) -> None:
    """Note whether the index takes profiles. The stream does not wait for it."""
    if state.index_error is None:
        outages.works("Elasticsearch", GOES_ON_INDEXING)
    else:
        problem = f"index behind: {state.index_error.splitlines()[0]}"
        outages.fails("Elasticsearch", problem, "The lake goes on, and the index catches up")


def step(
    context: Context, state: StreamState, retry: Retry = try_once
) -> tuple[StreamState, MicroBatch | None]:
    """Land one micro-batch if there is something new, and flush some lagging buckets.

    Args:
        context: the clients of the run.
        state: what the steps before have done.
        retry: calls each part of the step, again if a server was away.
    """
    began = time.perf_counter()
    state = look_for_index(context, state)
    landed, horizon = retry(partial(_land, context, state.run))
    newest: _Newest | None = None
    land_s = 0.0
    if landed is not None:
        land_s = time.perf_counter() - began
        state = replace(state, run=landed.state)
        state, newest = retry(partial(_index_batch, context, state, landed))
    visible_at, visible_s = datetime.now(UTC), time.perf_counter() - began
    is_flushing = bool(state.lagging)
    state, flush_error = retry(partial(flush_some, context, state))
    index_error = flush_error or (newest.error if newest else None)
    if index_error or ((newest or is_flushing) and state.run.live_index):
        state = replace(state, index_error=index_error)
    removed = {**horizon.removed, **(landed.removed if landed else {})}
    run, watch = retry(partial(watch_gaps, context, state.run, state.gaps, removed))
    state = replace(state, run=run, gaps=watch)
    if time.monotonic() - state.saved_at > CHECKPOINT_INTERVAL_S:
        state = _look_again(context, retry(partial(checkpoint, context, state)))
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
        lag_events=unread_messages(context, horizon.topic),
        lag_seconds=lag_seconds(newest.landed, visible_at),
        lagging_buckets=len(state.lagging),
        error=index_error,
    )
    publish_run(context, state.run, "stream", batch.to_json())
    return replace(state, batches=(*state.batches[-REPORTED_BATCHES + 1 :], batch)), batch


def _look_again(context: Context, state: StreamState) -> StreamState:
    return replace(state, gaps=look_again(context, state.run, state.gaps))


def finish(context: Context, state: StreamState) -> StreamState:
    """Bring profiles and index up to the last micro-batch. What is not in one stays for later."""
    run = state.run
    if run.live_index is None:
        run = find_live_index(context, run)
    manifest = save_manifest(context, run.manifest, state.results, unfinished=state.lagging)
    run = update_profiles(context, replace(run, manifest=manifest))
    # Buckets that were flushed after the last micro-batch may still be invisible to searches.
    if run.live_index is not None and (error := refresh(context, run.live_index)):
        run = replace(run, index_error=run.index_error or error)
    run = count_events(context, settle_at_end(context, run), state.uncounted)
    state = replace(state, run=run, uncounted=frozenset(), results=())
    write_batches(context, state)
    return state


@dataclass(frozen=True, slots=True)
class _Newest:
    """The batch that has just landed, and what became of its customers."""

    number: int
    landed: LandedBatch
    customers: int = 0
    error: str | None = None


def _land(context: Context, run: RunState) -> tuple[Landed | None, Horizon]:
    """Land what the topic has now, at most a micro-batch."""
    horizon = look_at_topic(context)
    return land_next(context, run, horizon.topic), horizon


def _index_batch(context: Context, state: StreamState, new: Landed) -> tuple[StreamState, _Newest]:
    """Index the customers of a batch that has just landed."""
    number, landed = new.number, new.batch
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
        expected = expected_events(context.batch_log, state.run.manifest)
        task = ProfileTask(
            number, context.segments, datetime.now(UTC), index, expected_events=expected
        )
        indexed = index_newest_customers(context, buckets, task, index)
        customers, error = indexed.customers, indexed.error
        total = state.run.profiles_indexed + customers
        state = replace(state, run=replace(state.run, profiles_indexed=total))
    if error is None:
        error = refresh(context, index)
    if error is not None:
        # The index may have been deleted. The next batch looks again which one is live.
        state = replace(state, run=replace(state.run, live_index=None))
    return state, replace(newest, customers=customers, error=error)
