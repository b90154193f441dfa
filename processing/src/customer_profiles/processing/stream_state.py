"""What a stream knows between two micro-batches, and how the lake's profiles catch up."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from customer_profiles.common.reports import write_json
from customer_profiles.contracts import RAW_EVENTS
from customer_profiles.kafka.admin import TopicState, watermarks
from customer_profiles.kafka.errors import BrokerUnavailableError
from customer_profiles.lake.batch_log import LandedBatch
from customer_profiles.lake.expectation import expected_events
from customer_profiles.processing.report import MicroBatch
from customer_profiles.processing.stages.build_profiles import (
    compact_log,
    run_update,
    save_manifest,
    with_restored,
)
from customer_profiles.processing.stages.count_events import count_events
from customer_profiles.processing.stages.index import find_live_index
from customer_profiles.processing.state import Context, RunState
from customer_profiles.processing.stream_gaps import GapWatch
from customer_profiles.processing.tasks.profile import BucketResult, ProfileTask
from customer_profiles.search.errors import IndexRefusedError, IndexUnavailableError

FLUSH_INTERVAL_S = 60.0
"""How far the lake's profiles may be behind the index, approximately."""
MAX_CLOCK_AHEAD_S = 300.0
"""How far a producer's clock may be ahead."""
MAX_LAG_S = int(RAW_EVENTS.config["retention.ms"]) / 1000
"""No message stays in the topic for longer."""
REPORTED_BATCHES = 1_000
"""Batches in `stream-latest.json`."""
CHECKPOINT_INTERVAL_S = 30.0
"""How often the stream saves its state and counts events."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """What a stream knows between two micro-batches."""

    run: RunState
    lagging: Mapping[int, int]
    """Buckets whose profiles in the lake are behind: the first batch that each lacks.

    The bucket that has waited longest comes first.
    """
    uncounted: frozenset[int] = frozenset()
    """Buckets whose newest events the dashboards lack."""
    results: tuple[BucketResult, ...] = ()
    """The buckets that were written since the manifest was saved."""
    batches: tuple[MicroBatch, ...] = ()
    """The last `REPORTED_BATCHES`."""
    index_error: str | None = None
    """Why the index took no profiles when it was last asked."""
    gaps: GapWatch = field(default_factory=GapWatch)
    saved_at: float = 0.0
    """`time.monotonic` of the last checkpoint."""


def look_for_index(context: Context, state: StreamState) -> StreamState:
    """See which index is live if none was there. Buckets that only the index lacks queue for it."""
    if state.run.live_index is not None:
        return state
    run = find_live_index(context, state.run)
    lagging = dict(state.lagging)
    if run.live_index is not None:
        next_batch = context.batch_log.last_committed + 1
        for bucket in run.profiles.behind:
            # The lake has all batches of the bucket.
            lagging.setdefault(bucket, next_batch)
    return replace(state, run=run, lagging=lagging)


def flush_some(context: Context, state: StreamState) -> tuple[StreamState, str | None]:
    """Bring the buckets that have waited longest up to the newest batch."""
    settings = context.settings
    share = -(-settings.buckets * settings.stream_interval_s // FLUSH_INTERVAL_S)
    buckets = list(state.lagging)[: max(1, int(share))]
    if not buckets:
        return state, None
    state, results = update_buckets(context, state, buckets)
    return state, first_error(results)


def update_buckets(
    context: Context, state: StreamState, buckets: list[int]
) -> tuple[StreamState, list[BucketResult]]:
    """Bring the profiles of some buckets up to the newest batch."""
    run = state.run
    through = context.batch_log.last_committed
    task = ProfileTask(
        through,
        context.segments,
        datetime.now(UTC),
        run.live_index,
        expected_events=expected_events(context.batch_log, run.manifest),
    )
    results = run_update(context, buckets, task)
    lagging = dict(state.lagging)
    for result in results:
        # A bucket that failed waits for its next events or for the end of the stream.
        since = lagging.pop(result.bucket, through)
        if result.error is None and (result.index_error or run.live_index is None):
            # The lake is up to date. The bucket queues again for the index.
            lagging[result.bucket] = since
    if run.live_index is not None:
        indexed = {result.bucket for result in results if not (result.error or result.index_error)}
        behind = tuple(bucket for bucket in run.profiles.behind if bucket not in indexed)
        run = replace(run, profiles=replace(run.profiles, behind=behind))
    run = replace(
        run,
        profiles=run.profiles.with_results(results),
        profiles_updated=run.profiles_updated + sum(result.updated for result in results),
        mended=with_restored(run.mended, results),
    )
    uncounted = state.uncounted.union(result.bucket for result in results)
    state = replace(state, run=run, lagging=lagging, uncounted=uncounted)
    return replace(state, results=(*state.results, *results)), results


def checkpoint(context: Context, state: StreamState) -> StreamState:
    """Save how far profiles and index are, so that a run after a crash begins there."""
    run = state.run
    through = min(state.lagging.values(), default=context.batch_log.last_committed + 1) - 1
    profiles = replace(
        run.profiles,
        through_batch=through,
        segments=context.segments.as_json(),
        # A stream that is killed before it counts leaves that to the next run.
        counted=run.profiles.counted and not state.uncounted,
    )
    live = run.live_index
    if live and not profiles.behind and profiles.index in (None, live.key):
        profiles = replace(profiles, index=live.key)
    manifest = save_manifest(context, run.manifest, state.results, unfinished=state.lagging)
    profiles.save(context.store)
    _record_batch(context, run)
    compact_log(context, through)
    run = count_events(context, replace(run, profiles=profiles, manifest=manifest), state.uncounted)
    state = replace(state, run=run, uncounted=frozenset(), results=(), saved_at=time.monotonic())
    write_batches(context, state)
    return state


def _record_batch(context: Context, run: RunState) -> None:
    """Note in the live index which batches it has. The next checkpoint makes up for a failure."""
    if run.live_index is not None:
        with suppress(IndexUnavailableError, IndexRefusedError):
            context.index.record_batch(run.live_index, context.batch_log.last_committed)


def write_batches(context: Context, state: StreamState) -> None:
    """Leave the last batches as `stream-latest.json`."""
    batches = [batch.to_json() for batch in state.batches]
    write_json(context.settings.reports / "stream-latest.json", {"batches": batches})


def first_error(results: list[BucketResult]) -> str | None:
    """Return the first reason why the index refused profiles, if any."""
    return next((result.index_error for result in results if result.index_error), None)


def lag_seconds(landed: LandedBatch, visible_at: datetime) -> float | None:
    """Return the time from a batch's first message to its customers being visible.

    The producer's clock wrote the message's time, so it may be anything. A time from a little ahead
    is a clock that differs and counts as now. One further ahead, or from before the topic keeps
    messages, says nothing.
    """
    if not landed.oldest_ms:
        return None
    seconds = visible_at.timestamp() - landed.oldest_ms / 1000
    if not -MAX_CLOCK_AHEAD_S <= seconds <= MAX_LAG_S:
        return None
    return round(max(0.0, seconds), 3)


def unread_messages(context: Context, topic: TopicState) -> int:
    """Return how many offsets of the topic are in no batch yet.

    Args:
        context: the clients of the run.
        topic: what counts if Kafka does not answer now.
    """
    offsets = topic.watermarks
    with suppress(BrokerUnavailableError):
        offsets = watermarks(context.tasks.kafka)
    planned = context.batch_log.next_offsets()
    return sum(max(0, end - planned.get(partition, 0)) for partition, (_, end) in offsets.items())
