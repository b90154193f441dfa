"""The stage that builds profiles: every bucket with new events gets new profiles, lake first.

One task does all of a bucket: it builds the profiles, counts the events, writes both to the lake
and indexes what changed, because the bucket's events are in memory only there.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import cast

from customer_profiles.processing.stages.plan import ProfilePlan
from customer_profiles.processing.state import Context, RunState
from customer_profiles.processing.tasks.profile import BucketResult, ProfileTask, update_buckets

logger = logging.getLogger(__name__)

MAX_LOGGED_BATCHES = 100
"""Batches with objects of their own in the batch log before a checkpoint replaces them."""


def build_profiles(context: Context, state: RunState, plan: ProfilePlan) -> RunState:
    """Bring the planned buckets up to the newest batch, and save how far they are.

    Raises:
        PipelineError: the lake does not answer; the next run goes on from there. A bucket whose
            profiles cannot be built is part of the state instead, and the next run tries it again.
    """
    context.start_spark(state.live_index)
    results = run_update(context, plan.buckets, plan.task)
    context.stopwatch.lap("build_profiles")
    updated = sum(result.updated for result in results)
    indexed = sum(result.indexed for result in results)
    errors = {result.bucket: result.index_error for result in results if result.index_error}
    task = plan.task
    profiles = replace(
        state.profiles.with_results(results),
        through_batch=task.through_batch,
        segments=context.segments.as_json(),
        counted=False,
    )
    if task.index is None:
        behind = sorted({*plan.buckets, *profiles.behind})
        profiles = replace(profiles, behind=tuple(behind))
    elif not task.rebuild:
        profiles = replace(profiles, index=task.index.key, behind=tuple(sorted(errors)))
    profiles.save(context.store)
    compact_log(context, 0 if task.index is None else task.through_batch)
    logger.info(
        "%s profiles updated, %s indexed",
        f"{updated:,}",
        f"{indexed:,}",
        extra={"event": "profiles_updated", "batch": task.through_batch},
    )
    return replace(
        state,
        profiles=profiles,
        index_error=next(iter(errors.values()), state.index_error),
        profiles_updated=state.profiles_updated + updated,
        profiles_indexed=state.profiles_indexed + indexed,
        files_compacted=state.files_compacted + sum(result.compacted for result in results),
    )


def run_update(context: Context, buckets: Sequence[int], task: ProfileTask) -> list[BucketResult]:
    """Run `update_bucket` for some buckets on the cluster; warn of those that failed."""
    cluster = context.spark.start()
    groups = min(len(buckets), 4 * cluster.cores)
    rdd = cluster.context.parallelize(list(buckets), groups).mapPartitions(
        partial(update_buckets, context.tasks, task)
    )
    results = cast("list[BucketResult]", context.spark.run(rdd, "profiles", groups))
    for result in results:
        if result.error:
            logger.warning(
                "the profiles of bucket %02d could not be built: %s",
                result.bucket,
                result.error,
                extra={"event": "bucket_failed", "batch": task.through_batch},
            )
    return results


def compact_log(context: Context, through_batch: int) -> None:
    """Checkpoint batches that profiles and index include, once there are many."""
    if len(context.batch_log) > MAX_LOGGED_BATCHES:
        context.batch_log.checkpoint(through_batch)
