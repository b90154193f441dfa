"""The stage that builds profiles: every bucket with new events gets new profiles, lake first.

One task does all of a bucket: it builds the profiles, counts the events, writes both to the lake
and indexes what changed, because the bucket's events are in memory only there.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

from customer_profiles.lake.expectation import describe_stale, update_manifest
from customer_profiles.lake.manifest import Manifest
from customer_profiles.processing.stages.plan import ProfilePlan
from customer_profiles.processing.stages.quality import checkpoint_statistics
from customer_profiles.processing.state import Context, RunState
from customer_profiles.processing.tasks.profile import (
    LOST,
    BucketResult,
    ProfileTask,
    update_buckets,
)

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
    # Buckets with events of batches that wait for a decision. Commits tell of these.
    waiting = context.batch_log.buckets_changed_since(task.through_batch)
    manifest = save_manifest(context, state.manifest, results, unfinished=waiting)
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
        manifest=manifest,
        restore=state.restore - {result.bucket for result in results if result.error is None},
        mended=with_restored(state.mended, results),
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
        if result.restored and result.restored != LOST:
            logger.warning(
                "%s; its bucket was computed again from all of its events",
                result.restored,
                extra={"event": "bucket_restored", "batch": task.through_batch},
            )
        if result.error:
            logger.warning(
                "the profiles of bucket %02d could not be built: %s",
                result.bucket,
                result.error,
                extra={"event": "bucket_failed", "batch": task.through_batch},
            )
    return results


def save_manifest(
    context: Context,
    manifest: Manifest | None,
    results: Sequence[BucketResult],
    unfinished: Collection[int] = (),
) -> Manifest:
    """Save what the lake consists of after some buckets were brought up to date.

    Args:
        context: the clients of the run.
        manifest: what it was before.
        results: the buckets.
        unfinished: buckets whose newest events are in no profile yet.
    """
    log, store = context.batch_log, context.store
    changes = [(result.bucket, result.content, result.merged) for result in results]
    updated, stale = update_manifest(manifest, log, changes)
    failed = {result.bucket for result in results if result.error}
    unknown = stale - failed - set(unfinished)
    if unknown:
        # A run that was killed has written them, or an older version.
        updated = describe_stale(updated, log, store, unknown)
    updated.save(store)
    return updated


def with_restored(mended: tuple[str, ...], results: Sequence[BucketResult]) -> tuple[str, ...]:
    """Add the damage that only the tasks saw, because they read what they need."""
    new = [result.restored for result in results if result.restored]
    return (*mended, *(text for text in new if text != LOST and text not in mended))


def compact_log(context: Context, through_batch: int) -> None:
    """Checkpoint batches that profiles and index include, once there are many."""
    if len(context.batch_log) > MAX_LOGGED_BATCHES:
        context.batch_log.checkpoint(through_batch)
        checkpoint_statistics(context.store, context.batch_log.checkpoint_record.through_batch)
