"""The task of the profile stage: bring a bucket up to a batch."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from customer_profiles.common.errors import PipelineError
from customer_profiles.lake.events import DataFile, EventPartition
from customer_profiles.lake.layout import index_progress_name
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.profiles import (
    BucketProfiles,
    read_profiles,
    write_event_counts,
    write_profiles,
)
from customer_profiles.processing.tasks.config import TaskConfig
from customer_profiles.profiles.aggregate import build_from_distinct, deduplicate_events
from customer_profiles.profiles.event_counts import add_counts, count_events
from customer_profiles.profiles.segments import Segments
from customer_profiles.profiles.totals import totals_of
from customer_profiles.search.profile_index import IndexRef, ProfileIndex

logger = logging.getLogger(__name__)

UNFORESEEN = (Exception, pl.exceptions.PanicException)
"""What a bucket's data can cause. A panic of Polars is no `Exception`."""
MAX_REASON = 500
"""Characters of a reason; the error may quote a value of any length."""


@dataclass(frozen=True, slots=True)
class ProfileTask:
    """What a run asks of every bucket."""

    through_batch: int
    """The newest batch that has landed."""
    segments: Segments
    generated_at: datetime
    """UTC; becomes `profile_generated_at`."""
    index: IndexRef | None
    """The index to fill; None while Elasticsearch does not answer."""
    rebuild: bool = False
    """Compute all profiles again, also those without new events."""


@dataclass(frozen=True, slots=True)
class BucketResult:
    """What happened to one bucket, and what its profiles add up to."""

    bucket: int
    updated: int
    """Profiles that were computed."""
    indexed: int
    index_error: str | None
    compacted: int
    """Small data files that became one."""
    totals: dict[str, Any]
    """As `profiles.totals.totals_of` returns them; empty if `error` is set."""
    error: str | None = None
    """Why the profiles could not be built. They are as they were before the run."""


def update_buckets(
    config: TaskConfig, task: ProfileTask, buckets: Iterable[int]
) -> Iterator[BucketResult]:
    """Run `update_bucket` for some buckets, one after the other.

    A bucket whose profiles cannot be built does not hold up the others. Its result has the reason.

    Raises:
        PipelineError: as `update_bucket` raises it.
        OSError: a connection failed; Spark repeats the task.
    """
    store = config.connect_lake()
    index = config.connect_index() if task.index else None
    for bucket in buckets:
        try:
            result = update_bucket(store, index, bucket, task)
        except (PipelineError, OSError):
            raise
        except UNFORESEEN as error:
            logger.exception("the profiles of bucket %02d cannot be built", bucket)
            result = BucketResult(bucket, 0, 0, None, 0, {}, _reason(error))
        yield result


def update_bucket(
    store: ObjectStore, index: ProfileIndex | None, bucket: int, task: ProfileTask
) -> BucketResult:
    """Bring one bucket's profiles, in the lake and then in the index, up to a batch.

    The profiles' object says in its metadata (`through_batch`) which batch it includes.
    An object under `_state/indexed/` says the same of the index.
    So the next run completes whatever a run leaves undone.
    The lake does not wait for the index: a failure there is part of the result, not an error.

    Raises:
        WriteConflictError: another run wrote the same profiles.
        PipelineError: the lake does not answer.
    """
    partition = EventPartition(store, bucket)
    files = partition.live_files(task.through_batch)
    current = read_profiles(store, bucket)
    new_files = (
        files
        if task.rebuild
        else [file for file in files if file.last_batch > current.through_batch]
    )
    updated = 0
    if new_files:
        user_ids = partition.user_ids(new_files)
        updated = len(user_ids)
        profiles = _build(store, partition, files, current, user_ids, new_files, task)
        current = BucketProfiles(profiles, None, new_files[-1].last_batch)
    indexed, error = 0, None
    if index and task.index:
        indexed, error = _index(store, index, task.index, partition, files, current)
    compacted = partition.compact(current.through_batch)
    totals = totals_of(current.profiles)
    return BucketResult(bucket, updated, indexed, error, compacted, totals)


def _build(
    store: ObjectStore,
    partition: EventPartition,
    files: Sequence[DataFile],
    current: BucketProfiles,
    user_ids: pl.Series,
    new_files: Sequence[DataFile],
    task: ProfileTask,
) -> pl.DataFrame:
    """Compute the profiles of some customers, count the bucket's events and write both."""
    counts: list[pl.DataFrame] = []
    unchanged = current.profiles.join(user_ids.to_frame(), on="user_id", how="anti")
    profiles = pl.concat(
        [unchanged, *_build_slices(partition.slices(files, user_ids), task, counts)]
    )
    if unchanged.height:
        # Slices come in the order of customers. Sorting them alone would hold all of them twice.
        profiles = profiles.sort("user_id")
        for events in partition.slices(files, unchanged["user_id"]):
            # A list would hold all slices in memory at once.
            counts.append(count_events(deduplicate_events(events), unchanged))  # noqa: PERF401
    partition.release()
    through = new_files[-1].last_batch
    # The counts come first, so that they are never older than the profiles, which tell a run
    # whether there is work.
    write_event_counts(store, partition.bucket, add_counts(counts), through)
    counts.clear()
    write_profiles(store, partition.bucket, profiles, through, current.etag)
    return profiles


def _build_slices(
    slices: Iterable[pl.DataFrame], task: ProfileTask, counts: list[pl.DataFrame]
) -> Iterator[pl.DataFrame]:
    """Yield the profiles of each slice; append the counts of its events to `counts`."""
    for events in slices:
        # The ids are a third of the memory, and nothing below needs them.
        distinct = deduplicate_events(events).drop("event_id")
        profiles = build_from_distinct(distinct, task.segments, task.generated_at)
        counts.append(count_events(distinct, profiles))
        yield profiles


def _index(
    store: ObjectStore,
    index: ProfileIndex,
    ref: IndexRef,
    partition: EventPartition,
    files: Sequence[DataFile],
    current: BucketProfiles,
) -> tuple[int, str | None]:
    """Index the profiles that the index lacks; return their number, and why that failed."""
    progress = index_progress_name(ref.key, partition.bucket)
    indexed_batch = (store.get_json(progress) or {"through_batch": 0})["through_batch"]
    missing = [file for file in files if indexed_batch < file.last_batch <= current.through_batch]
    if not missing:
        return 0, None
    profiles = current.profiles
    if indexed_batch:
        user_ids = partition.user_ids(missing).to_frame()
        profiles = profiles.join(user_ids, on="user_id", how="semi")
    try:
        index.index_profiles(ref, profiles, current.through_batch)
    except PipelineError as error:
        return 0, str(error)
    store.put_json(progress, {"through_batch": current.through_batch})
    return profiles.height, None


def _reason(error: BaseException) -> str:
    """Return what went wrong in one line."""
    text = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {text}"[:MAX_REASON]
