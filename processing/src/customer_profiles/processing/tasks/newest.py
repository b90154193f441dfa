"""The task of a stream that indexes a batch's customers before the lake has their profiles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from customer_profiles.common.errors import PipelineError
from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.events import EventPartition
from customer_profiles.lake.findings import LakeDamagedError
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.processing.tasks.config import TaskConfig
from customer_profiles.processing.tasks.profile import UNFORESEEN, ProfileTask, check_events
from customer_profiles.processing.tasks.variants import index_with_variants
from customer_profiles.profiles.aggregate import build_profiles
from customer_profiles.profiles.event_days import find_event_days
from customer_profiles.profiles.schema import INDEXED_SCHEMA
from customer_profiles.search.profile_index import IndexRef


@dataclass(frozen=True, slots=True)
class IndexedCustomers:
    """What `index_newest` did."""

    customers: int
    error: str | None


def index_newest(
    config: TaskConfig, task: ProfileTask, index: IndexRef, buckets: Iterable[int]
) -> Iterator[IndexedCustomers]:
    """Index the customers of the newest batch, ahead of their profiles in the lake.

    A stream does this for every batch, and `update_bucket` for some buckets at a time.
    Both write the same documents with the same version, so neither undoes the other.
    """
    store, numbers = config.connect_lake(), list(buckets)
    profiles = _build_newest(store, task, numbers)
    try:
        connection = config.connect_index()
        index_with_variants(store, connection, index, profiles, task.through_batch, numbers)
    except PipelineError as error:
        yield IndexedCustomers(profiles.height, str(error))
    else:
        yield IndexedCustomers(profiles.height, None)


def _build_newest(store: ObjectStore, task: ProfileTask, buckets: Sequence[int]) -> pl.DataFrame:
    """Build the profiles of the newest batch's customers, as `INDEXED_SCHEMA`.

    A bucket whose profiles cannot be built is left out. `update_bucket` meets it again, and its
    reason becomes part of the report.
    """
    try:
        events = []
        for bucket in buckets:
            partition = EventPartition(store, bucket)
            files = partition.live_files(task.through_batch)
            check_events(bucket, partition.records(files), task)
            newest = [file for file in files if file.last_batch == task.through_batch]
            events.append(partition.read_events(files, partition.user_ids(newest)))
        all_events = pl.concat(events)
        profiles = build_profiles(all_events, task.segments, task.generated_at)
        return profiles.join(find_event_days(all_events), on="user_id", how="left")
    except (DamagedObjectError, LakeDamagedError):
        return _build_others(store, task, buckets)
    except (PipelineError, OSError):
        raise
    except UNFORESEEN:
        return _build_others(store, task, buckets)


def _build_others(store: ObjectStore, task: ProfileTask, buckets: Sequence[int]) -> pl.DataFrame:
    """Build each bucket by itself, because one of them cannot be built."""
    if len(buckets) == 1:
        return pl.DataFrame(schema=INDEXED_SCHEMA)
    return pl.concat(_build_newest(store, task, [bucket]) for bucket in buckets)
