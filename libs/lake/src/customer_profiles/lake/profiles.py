"""The profiles and event counts of one bucket, each in one object."""

from __future__ import annotations

import io
from dataclasses import dataclass

import polars as pl

from customer_profiles.contracts import bucket_of
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.events import ROW_GROUP
from customer_profiles.lake.layout import event_counts_name, profiles_name
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.parquet import to_parquet
from customer_profiles.profiles.schema import PROFILE_SCHEMA

_THROUGH_BATCH = "through_batch"
"""The key in the files' metadata."""


@dataclass(frozen=True, slots=True)
class BucketProfiles:
    """All profiles of one bucket."""

    profiles: pl.DataFrame
    """`PROFILE_SCHEMA`, sorted by `user_id`."""
    etag: str | None
    """The version in the lake, for a conditional write; None if there is none yet."""
    through_batch: int
    """The newest micro-batch whose events are in the profiles; 0 before the first."""


def read_profiles(store: ObjectStore, bucket: int) -> BucketProfiles:
    """Read a bucket's profiles. A bucket that has none yet gives an empty frame."""
    stored = store.get(profiles_name(bucket))
    if stored is None:
        return BucketProfiles(pl.DataFrame(schema=PROFILE_SCHEMA), None, 0)
    metadata = pl.read_parquet_metadata(io.BytesIO(stored.data))
    # An object of an older format has narrower decimals.
    profiles = pl.read_parquet(io.BytesIO(stored.data)).cast(pl.Schema(PROFILE_SCHEMA))
    return BucketProfiles(profiles, stored.etag, int(metadata[_THROUGH_BATCH]))


def write_profiles(
    store: ObjectStore, bucket: int, profiles: pl.DataFrame, through_batch: int, etag: str | None
) -> None:
    """Replace a bucket's profiles, unless another run has done so since they were read.

    Args:
        store: the lake.
        bucket: the bucket of the profiles.
        profiles: `PROFILE_SCHEMA`, sorted by `user_id`.
        through_batch: the newest micro-batch whose events are in the profiles.
        etag: the version that was read; None if there was none.

    Raises:
        WriteConflictError: another run wrote the profiles in the meantime.
    """
    data = to_parquet(profiles, {_THROUGH_BATCH: str(through_batch)}, row_group_size=ROW_GROUP)
    store.put(profiles_name(bucket), data, if_match=etag, if_absent=etag is None)


def write_event_counts(
    store: ObjectStore, bucket: int, counts: pl.DataFrame, through_batch: int
) -> None:
    """Replace a bucket's event counts.

    Args:
        store: the lake.
        bucket: the bucket of the events.
        counts: `METRIC_SCHEMA`.
        through_batch: the newest micro-batch whose events are counted.
    """
    data = to_parquet(counts, {_THROUGH_BATCH: str(through_batch)})
    store.put(event_counts_name(bucket), data)


def find_profile(store: ObjectStore, user_id: str) -> pl.DataFrame:
    """Read the profile of one customer.

    Returns:
        `PROFILE_SCHEMA` with one row, or without rows if the lake has no such customer.
    """
    buckets = BatchLog(store).buckets()
    if buckets is None:
        return pl.DataFrame(schema=PROFILE_SCHEMA)
    profiles = read_profiles(store, bucket_of(user_id, buckets)).profiles
    return profiles.filter(pl.col("user_id") == user_id)
