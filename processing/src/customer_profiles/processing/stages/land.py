"""The land stage: the messages of a micro-batch become event files in the lake."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

from customer_profiles.kafka.dead_letters import publish_dead_letters, unpublished
from customer_profiles.kafka.reader import OffsetRange, split_ranges
from customer_profiles.lake.batch_log import LandedBatch
from customer_profiles.processing.stages.plan import PlannedBatch
from customer_profiles.processing.stages.quality import save_statistics
from customer_profiles.processing.state import Context, RunState
from customer_profiles.processing.tasks.land import LandedBucket, Leftovers, read_part, write_events

logger = logging.getLogger(__name__)

TASK_OFFSETS = 150_000
"""Offsets that one task reads at most."""


def land_batch(
    context: Context, state: RunState, planned: PlannedBatch
) -> tuple[RunState, LandedBatch]:
    """Write a batch's events to the lake and commit the batch.

    Returns:
        The next state, and what the batch brought.

    Raises:
        PipelineError: a server does not answer or a task fails. The batch stays planned, and the
            next run lands it from the same offsets into the same objects.
    """
    context.start_spark(state.live_index)
    landed = _land(context, planned)
    context.batch_log.commit(planned.batch, landed)
    context.stopwatch.lap("land")
    next_state = replace(
        state,
        batches=state.batches + 1,
        events_landed=state.events_landed + landed.events,
        invalid_messages=state.invalid_messages + landed.invalid_messages,
    )
    return next_state, landed


def _land(context: Context, planned: PlannedBatch) -> LandedBatch:
    cluster = context.spark.start()
    batch = planned.batch
    parts: list[OffsetRange | Leftovers] = [*split_ranges(planned.ranges, TASK_OFFSETS)]
    if planned.removed:
        parts.append(Leftovers(batch.number, planned.removed))
    groups = min(context.settings.buckets, 2 * cluster.cores)
    rdd = (
        cluster.context.parallelize(parts, max(1, len(parts)))
        .flatMap(partial(read_part, context.tasks, groups))
        .partitionBy(groups, int)
        .mapPartitions(partial(write_events, context.tasks, batch.number))
    )
    landed: list[LandedBucket] = []
    dead_letters: list[tuple[str, str]] = []
    oldest: list[int] = []
    statistics: list[bytes] = []
    for result in context.spark.run(rdd, f"micro-batch {batch.number}", len(parts) + groups):
        if isinstance(result, LandedBucket):
            landed.append(result)
        else:
            dead_letters.extend(result.dead_letters)
            oldest.extend([result.oldest_ms] if result.oldest_ms else [])
            statistics.extend([result.statistics] if result.statistics else [])
    save_statistics(context.store, batch.number, statistics, min(oldest, default=None))
    if dead_letters:
        kafka = context.tasks.kafka
        # An earlier attempt may have published some of them.
        new = unpublished(kafka, dead_letters) if planned.retry else dead_letters
        publish_dead_letters(kafka, new)
    return LandedBatch(
        events=sum(bucket.events for bucket in landed),
        invalid_messages=len(dead_letters),
        events_by_bucket={bucket.bucket: bucket.events for bucket in landed},
        oldest_ms=min(oldest, default=None),
        files={bucket.bucket: (bucket.size, bucket.etag) for bucket in landed},
    )
