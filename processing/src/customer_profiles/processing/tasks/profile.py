"""The task of the profile stage: bring a bucket up to a batch."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from customer_profiles.common.errors import PipelineError
from customer_profiles.lake.diagnosis import find_damage
from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.events import DataFile, EventPartition
from customer_profiles.lake.findings import Finding, Kind, LakeDamagedError, Remedy
from customer_profiles.lake.layout import events_prefix
from customer_profiles.lake.manifest import BucketManifest, EventFile
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.profiles import (
    BucketProfiles,
    read_profiles,
    write_event_counts,
    write_profiles,
)
from customer_profiles.lake.quality import write_days
from customer_profiles.processing.tasks.config import TaskConfig
from customer_profiles.processing.tasks.index import NO_DAYS, index_bucket
from customer_profiles.processing.tasks.profile_records import LOST, BucketResult, ProfileTask
from customer_profiles.profiles.aggregate import build_from_distinct, deduplicate_events
from customer_profiles.profiles.event_counts import add_counts, count_events
from customer_profiles.profiles.event_days import find_event_days
from customer_profiles.profiles.schema import PROFILE_SCHEMA
from customer_profiles.profiles.totals import totals_of
from customer_profiles.quality.customers import add_up as add_days
from customer_profiles.quality.customers import summarise_customers, summarise_stored
from customer_profiles.search.profile_index import ProfileIndex

__all__ = ["LOST", "UNFORESEEN", "BucketResult", "ProfileTask", "check_events", "update_buckets"]

logger = logging.getLogger(__name__)

UNFORESEEN = (Exception, pl.exceptions.PanicException)
"""What a bucket's data can cause. A panic of Polars is no `Exception`."""
MAX_REASON = 500
"""Characters of a reason; the error may quote a value of any length."""


@dataclass(frozen=True, slots=True)
class _Derived:
    """What the slices of a bucket give beside profiles."""

    counts: list[pl.DataFrame] = field(default_factory=list)
    days: list[pl.DataFrame] = field(default_factory=list)
    """Statistics of data quality."""
    event_days: list[pl.DataFrame] = field(default_factory=list)
    """The days with events of the customers whose profiles are built, for the index."""


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
        except (DamagedObjectError, LakeDamagedError) as error:
            result = BucketResult(bucket, 0, 0, None, 0, {}, " ".join(str(error).splitlines()))
        except (PipelineError, OSError):
            raise
        except UNFORESEEN as error:
            logger.exception("the profiles of bucket %02d cannot be built", bucket)
            reason = _damage(store, bucket, config.buckets, task) or _reason(error)
            result = BucketResult(bucket, 0, 0, None, 0, {}, reason)
        yield result


def update_bucket(
    store: ObjectStore, index: ProfileIndex | None, bucket: int, task: ProfileTask
) -> BucketResult:
    """Bring one bucket's profiles, in the lake and then in the index, up to a batch.

    The profiles' object says in its metadata (`through_batch`) which batch it includes.
    An object under `_state/indexed/` says the same of the index.
    So the next run completes whatever a run leaves undone.
    The lake does not wait for the index: a failure there is part of the result, not an error.

    Profiles that are damaged are computed again from all events.

    Raises:
        WriteConflictError: another run wrote the same profiles.
        DamagedObjectError: a data file is not what was written.
        LakeDamagedError: events are missing.
        PipelineError: the lake does not answer.
    """
    partition = EventPartition(store, bucket)
    files = partition.live_files(task.through_batch)
    current, restored = _read_current(store, bucket, task)
    new_files = (
        files
        if task.rebuild or restored
        else [file for file in files if file.last_batch > current.through_batch]
    )
    updated, content, days = 0, None, NO_DAYS
    if new_files:
        check_events(bucket, partition.records(files), task)
        users = partition.user_ids(new_files)
        updated = len(users)
        profiles, content, days = _build(store, partition, files, current, users, new_files, task)
        current = BucketProfiles(profiles, None, new_files[-1].last_batch)
    indexed, error = 0, None
    if index and task.index:
        indexed, error = index_bucket(
            store, index, task.index, partition, files, current, days, anew=bool(restored)
        )
    compacted, merged = _compact(partition, current.through_batch, task)
    return BucketResult(
        bucket,
        updated,
        indexed,
        error,
        compacted,
        totals_of(current.profiles),
        content=content.with_merged(merged) if content and merged else content,
        merged=merged,
        restored=restored,
    )


def _compact(
    partition: EventPartition, through_batch: int, task: ProfileTask
) -> tuple[int, EventFile | None]:
    expected = task.expected_events.get(partition.bucket)
    # Unknown in a lake of version 0.2, until a run has read the bucket.
    return (0, None) if expected is None else partition.compact(through_batch, expected)


def _read_current(
    store: ObjectStore, bucket: int, task: ProfileTask
) -> tuple[BucketProfiles, str | None]:
    """Read a bucket's profiles, and say why they have to be computed again."""
    try:
        current = read_profiles(store, bucket)
    except DamagedObjectError as error:
        empty = BucketProfiles(pl.DataFrame(schema=PROFILE_SCHEMA), error.etag, 0)
        return empty, f"{error.name} was damaged: {error.problem}"
    if bucket not in task.restore:
        return current, None
    return current, LOST


def check_events(bucket: int, files: Iterable[EventFile], task: ProfileTask) -> None:
    """See that no event is missing, before anything is computed from the others.

    Args:
        bucket: the bucket.
        files: its live files up to the task's batch.
        task: knows how many events they should have.

    Raises:
        LakeDamagedError: they have fewer or more.
    """
    stored = sum(file.events for file in files)
    expected = task.expected_events.get(bucket, stored)
    if stored != expected:
        detail = f"{stored:,} events in its data files, {expected:,} were landed"
        finding = Finding(
            Kind.INCOMPLETE, events_prefix(bucket), Remedy.REPAIR, detail, bucket=bucket
        )
        raise LakeDamagedError([finding])


def _build(
    store: ObjectStore,
    partition: EventPartition,
    files: Sequence[DataFile],
    current: BucketProfiles,
    user_ids: pl.Series,
    new_files: Sequence[DataFile],
    task: ProfileTask,
) -> tuple[pl.DataFrame, BucketManifest, pl.DataFrame]:
    """Compute the profiles of some customers, count the bucket's events and write both.

    Returns:
        All profiles of the bucket, what was written, and the days with events of these customers.
    """
    derived = _Derived()
    counts, days = derived.counts, derived.days
    unchanged = current.profiles.join(user_ids.to_frame(), on="user_id", how="anti")
    profiles = pl.concat(
        [unchanged, *_build_slices(partition.slices(files, user_ids), task, derived)]
    )
    if unchanged.height:
        # Slices come in the order of customers. Sorting them alone would hold all of them twice.
        profiles = profiles.sort("user_id")
        for events in partition.slices(files, unchanged["user_id"]):
            distinct = deduplicate_events(events)
            counts.append(count_events(distinct, unchanged, task.generated_at))
            days += [summarise_stored(events), summarise_customers(distinct)]
    partition.release()
    through, written = new_files[-1].last_batch, task.generated_at.isoformat()
    # The counts come first, so that they are never older than the profiles, which tell a run
    # whether there is work.
    bucket = partition.bucket
    stored_counts = write_event_counts(store, bucket, add_counts(counts), through, written)
    counts.clear()
    write_days(store, bucket, add_days(days), through)
    stored_profiles = write_profiles(store, bucket, profiles, through, current.etag, written)
    content = BucketManifest(
        task.through_batch, partition.records(files), stored_profiles, stored_counts
    )
    return profiles, content, pl.concat([NO_DAYS, *derived.event_days])


def _build_slices(
    slices: Iterable[pl.DataFrame],
    task: ProfileTask,
    derived: _Derived,
) -> Iterator[pl.DataFrame]:
    """Yield the profiles of each slice; append what else its events give."""
    for events in slices:
        # The ids are a third of the memory, and nothing below needs them.
        distinct = deduplicate_events(events).drop("event_id")
        profiles = build_from_distinct(distinct, task.segments, task.generated_at)
        derived.counts.append(count_events(distinct, profiles, task.generated_at))
        derived.days.extend([summarise_stored(events), summarise_customers(distinct)])
        if task.index is not None:
            derived.event_days.append(find_event_days(distinct))
        yield profiles


def _damage(store: ObjectStore, bucket: int, buckets: int, task: ProfileTask) -> str | None:
    """Return the message about the object that made a bucket fail, if one did."""
    files = EventPartition(store, bucket).live_files(task.through_batch)
    damage = find_damage(store, bucket, buckets, files)
    return " ".join(str(damage).splitlines()) if damage else None


def _reason(error: BaseException) -> str:
    """Return what went wrong in one line."""
    text = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {text}"[:MAX_REASON]
