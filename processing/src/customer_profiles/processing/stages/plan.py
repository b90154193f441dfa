"""The plan stage: see how far everything is, and decide what there is to do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from customer_profiles.common.errors import PipelineError
from customer_profiles.kafka.admin import TopicState
from customer_profiles.lake.batch_log import Batch, BatchLog, OffsetSpan, next_offset_ranges
from customer_profiles.lake.expectation import expected_events
from customer_profiles.lake.formats import FORMAT, convert_objects
from customer_profiles.lake.layout import QUARANTINE, REBUILDING
from customer_profiles.lake.lease import lease_holder
from customer_profiles.lake.offsets import is_shorter, removed_of
from customer_profiles.lake.quarantine import read_quarantine
from customer_profiles.lake.runs import this_run
from customer_profiles.processing.settings import Settings
from customer_profiles.processing.stages.check import (
    check,
    load_profiles_state,
    look_in_background,
)
from customer_profiles.processing.stages.index import find_live_index
from customer_profiles.processing.stages.quarantine import refuse_stream
from customer_profiles.processing.state import Context, ProfilesState, RunState
from customer_profiles.processing.tasks.profile import ProfileTask
from customer_profiles.profiles.segments import Segments
from customer_profiles.search.profile_index import IndexRef

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """A micro-batch to land."""

    batch: Batch
    retry: bool
    """An earlier run has tried it."""
    removed: Mapping[int, OffsetSpan] = field(default_factory=dict)
    """What the topic no longer has of it, by partition."""

    @property
    def ranges(self) -> dict[int, OffsetSpan]:
        """The offsets that can be read."""
        return {
            partition: (self.removed.get(partition, (start, start))[1], end)
            for partition, (start, end) in self.batch.ranges.items()
        }


@dataclass(frozen=True, slots=True)
class ProfilePlan:
    """The buckets to bring up to date, and how."""

    buckets: tuple[int, ...]
    task: ProfileTask


def load_state(context: Context, *, rebuild: bool = False, holds_lease: bool = False) -> RunState:
    """See how far lake and index are.

    Args:
        context: the clients of the run.
        rebuild: the run needs Elasticsearch.
        holds_lease: the run is the stream itself.

    Raises:
        PipelineError: a stream runs, the settings do not fit the lake, or a server does not answer.
        LakeDamagedError: something is missing from the lake; nothing was written.
        WriteConflictError: another run writes to a lake of an older format.
    """
    if not holds_lease and (holder := lease_holder(context.store)):
        raise PipelineError(
            f"A stream runs on {holder} and does all of this already: `make summary` shows where "
            "it is.\nTo do it by hand, end the stream first (Ctrl-C where it runs)."
        )
    looking = look_in_background(context.store)
    profiles, damage = load_profiles_state(context.store)
    state = find_live_index(context, RunState(profiles, live_index=None), required=rebuild)
    if state.live_index is None:
        logger.warning(
            "Elasticsearch does not answer; the lake goes on, and the index catches up later",
            extra={"event": "index_unavailable"},
        )
    _check_buckets(context.batch_log, context.settings)
    _check_segments(profiles, context.segments)
    index = None if rebuild else _index_batch(context, state)
    checked = check(context.store, context.batch_log, profiles, looking.result(), damage, index)
    is_unfinished = not rebuild and REBUILDING in checked.objects
    if is_unfinished:
        logger.warning(
            "A rebuild did not reach its end, so index and lake may differ: run `make rebuild`",
            extra={"event": "rebuild_incomplete"},
        )
    state = replace(
        state,
        profiles=_convert(context, profiles),
        manifest=checked.manifest,
        restore=checked.restore,
        rebuild_unfinished=is_unfinished,
        mended=tuple(str(finding) for finding in checked.findings),
        quarantine=read_quarantine(context.store) if QUARANTINE in checked.objects else None,
    )
    if holds_lease:
        refuse_stream(state.quarantine)
    context.stopwatch.lap("load_state")
    return state


def _index_batch(context: Context, state: RunState) -> tuple[IndexRef, int] | None:
    """Return the live index and the newest batch that it has; None if either is unknown."""
    if state.live_index is None:
        return None
    batch = context.index.through_batch(state.live_index)
    return None if batch is None else (state.live_index, batch)


def plan_batch(context: Context, topic: TopicState) -> PlannedBatch | None:
    """Plan the next micro-batch, or take up one that was planned and never committed.

    Args:
        context: the clients of the run.
        topic: how far the run lands, as `stages.topic.look_at_topic` returns it.

    Returns:
        None when the topic holds nothing new up to there.

    Raises:
        WriteConflictError: another run planned the same batch.
    """
    log, settings = context.batch_log, context.settings
    uncommitted = log.uncommitted()
    if uncommitted is not None:
        # A person has said that the run shall go on with another topic.
        is_gone = is_shorter(topic.watermarks, log.next_offsets()) or (
            None not in (uncommitted.topic_id, topic.topic_id)
            and uncommitted.topic_id != topic.topic_id
        )
        removed = (
            uncommitted.ranges if is_gone else removed_of(uncommitted.ranges, topic.watermarks)
        )
        return PlannedBatch(uncommitted, retry=True, removed=removed)
    ranges = next_offset_ranges(topic.watermarks, log.next_offsets(), settings.batch_events)
    if all(start == end for start, end in ranges.values()):
        return None
    batch = log.plan(ranges, settings.buckets, topic_id=topic.topic_id, run=this_run())
    return PlannedBatch(batch, retry=False)


def plan_profiles(
    context: Context, state: RunState, *, rebuild: bool = False
) -> ProfilePlan | None:
    """Decide which buckets need work; a rebuild gets a new index.

    Profiles end before the oldest micro-batch that waits for a decision.

    Returns:
        None when profiles and index are up to date.
    """
    log = context.batch_log
    index = state.live_index
    quarantine = state.quarantine
    last = quarantine.last_profiled(log.last_committed) if quarantine else log.last_committed
    if rebuild and log.last_committed:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        context.store.put_json(REBUILDING, {"since": since})
        index = context.index.create()
    if rebuild or (index and state.profiles.index != index.key):
        buckets = log.buckets_changed_since(0, last)
    else:
        buckets = log.buckets_changed_since(state.profiles.through_batch, last)
        buckets |= set(state.profiles.behind) if index else set()
    # Whatever made a bucket fail may have left its profiles older than its event counts.
    restore = state.restore | {int(bucket) for bucket in state.profiles.failed}
    buckets |= restore
    if not buckets:
        return None
    task = ProfileTask(
        last,
        context.segments,
        datetime.now(UTC),
        index,
        rebuild=rebuild,
        restore=restore,
        expected_events=expected_events(log, state.manifest, last),
    )
    return ProfilePlan(tuple(sorted(buckets)), task)


def _convert(context: Context, profiles: ProfilesState) -> ProfilesState:
    """Give all stored profiles and event counts the current format, before any is written."""
    if profiles.format >= FORMAT:
        return profiles
    profiles = replace(profiles, format=FORMAT)
    if converted := convert_objects(context.store):
        profiles.save(context.store)
        logger.info(
            "%d objects of profiles and event counts now hold sums of any size",
            converted,
            extra={"event": "format_converted"},
        )
    return profiles


def _check_buckets(log: BatchLog, settings: Settings) -> None:
    buckets = log.buckets()
    if buckets is not None and buckets != settings.buckets:
        raise PipelineError(
            f"This lake is cut into {buckets} buckets and BUCKETS is {settings.buckets}.\n"
            f"Set BUCKETS={buckets} in .env, or begin anew with `make clean`."
        )


def _check_segments(profiles: ProfilesState, segments: Segments) -> None:
    known = profiles.segments
    if known and known["version"] == segments.version and known != segments.as_json():
        raise PipelineError(
            f"The segments have changed and their version is still {segments.version}, which many "
            "profiles carry.\nRaise `version` in the file of segments, then run `make rebuild`."
        )
