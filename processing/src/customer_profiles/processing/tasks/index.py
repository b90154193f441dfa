"""The part of the profile task that fills the index."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import polars as pl

from customer_profiles.common.errors import PipelineError
from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.events import DataFile, EventPartition
from customer_profiles.lake.layout import index_progress_name
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.profiles import BucketProfiles
from customer_profiles.processing.tasks.variants import index_with_variants
from customer_profiles.profiles.event_days import find_event_days
from customer_profiles.profiles.schema import EVENT_DAYS, INDEXED_SCHEMA
from customer_profiles.search.profile_index import IndexRef, ProfileIndex

logger = logging.getLogger(__name__)

NO_DAYS = pl.DataFrame(schema={name: INDEXED_SCHEMA[name] for name in ("user_id", EVENT_DAYS)})
"""The days with events of no customer, with the columns of `find_event_days`."""


def index_bucket(
    store: ObjectStore,
    index: ProfileIndex,
    ref: IndexRef,
    partition: EventPartition,
    files: Sequence[DataFile],
    current: BucketProfiles,
    days: pl.DataFrame,
    *,
    anew: bool,
) -> tuple[int, str | None]:
    """Index the profiles of a bucket that the index lacks.

    Args:
        store: the lake.
        index: the connection to Elasticsearch.
        ref: the index to fill.
        partition: the bucket's events.
        files: its live files.
        current: its profiles.
        days: the days with events of some customers, as `find_event_days` returns them.
        anew: index all of them, because they were computed again.

    Returns:
        The number of profiles, and why indexing failed.
    """
    progress = index_progress_name(ref.key, partition.bucket)
    indexed_batch = 0 if anew else _read_progress(store, progress)
    missing = [file for file in files if indexed_batch < file.last_batch <= current.through_batch]
    if not missing:
        return 0, None
    profiles = current.profiles
    if indexed_batch:
        user_ids = partition.user_ids(missing).to_frame()
        profiles = profiles.join(user_ids, on="user_id", how="semi")
    profiles = _add_event_days(profiles, days, partition, files)
    try:
        version = current.through_batch
        index_with_variants(store, index, ref, profiles, version, [partition.bucket])
    except PipelineError as error:
        return 0, str(error)
    store.put_json(progress, {"through_batch": current.through_batch})
    return profiles.height, None


def read_event_days(store: ObjectStore, bucket: int, current: BucketProfiles) -> pl.DataFrame:
    """Add what an index has of a bucket's profiles beside their fields.

    Args:
        store: the lake.
        bucket: the bucket.
        current: its profiles.

    Returns:
        `INDEXED_SCHEMA`.
    """
    partition = EventPartition(store, bucket)
    files = partition.live_files(current.through_batch)
    return _add_event_days(current.profiles, NO_DAYS, partition, files)


def _add_event_days(
    profiles: pl.DataFrame, days: pl.DataFrame, partition: EventPartition, files: Sequence[DataFile]
) -> pl.DataFrame:
    """Add the days with events: the known ones, and the others from the bucket's live files."""
    unknown = profiles.join(days, on="user_id", how="anti")["user_id"]
    if unknown.len():
        others = map(find_event_days, partition.slices(files, unknown))
        days = pl.concat([days, *others])
    return profiles.join(days, on="user_id", how="left", maintain_order="left")


def _read_progress(store: ObjectStore, name: str) -> int:
    """Return the newest batch that an index has of a bucket; 0 if it has none or if unknown."""
    try:
        return store.get_record(name, lambda content: int(content["through_batch"])) or 0
    except DamagedObjectError as error:
        logger.warning("%s All profiles of the bucket are indexed again.", error.args[0])
        return 0
