"""The profiles and event counts of one bucket, each in one object."""

from __future__ import annotations

import io
from dataclasses import dataclass

import polars as pl

from customer_profiles.contracts import bucket_of
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.checksums import ROWS, THROUGH_BATCH, WRITTEN
from customer_profiles.lake.diagnosis import UNREADABLE
from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.events import ROW_GROUP
from customer_profiles.lake.layout import event_counts_name, profiles_name
from customer_profiles.lake.manifest import BucketObject
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.parquet import to_parquet
from customer_profiles.profiles.schema import PROFILE_SCHEMA


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
    """Read a bucket's profiles. A bucket that has none yet gives an empty frame.

    Raises:
        DamagedObjectError: the object is not what was written, or no file of profiles.
    """
    name = profiles_name(bucket)
    stored = store.get(name)
    if stored is None:
        return BucketProfiles(pl.DataFrame(schema=PROFILE_SCHEMA), None, 0)
    try:
        metadata = pl.read_parquet_metadata(io.BytesIO(stored.data))
        through_batch = int(metadata[THROUGH_BATCH])
        # An object of an older format has narrower decimals.
        profiles = pl.read_parquet(io.BytesIO(stored.data)).cast(pl.Schema(PROFILE_SCHEMA))
    except (*UNREADABLE, KeyError, ValueError) as error:
        # Objects of version 0.2 have no checksum.
        reason = next(iter(str(error).splitlines()), "")
        raise DamagedObjectError(name, f"it cannot be read ({reason})", stored.etag) from error
    return BucketProfiles(profiles, stored.etag, through_batch)


def write_profiles(
    store: ObjectStore,
    bucket: int,
    profiles: pl.DataFrame,
    through_batch: int,
    etag: str | None,
    written: str = "",
) -> BucketObject:
    """Replace a bucket's profiles, unless another run has done so since they were read.

    Args:
        store: the lake.
        bucket: the bucket of the profiles.
        profiles: `PROFILE_SCHEMA`, sorted by `user_id`.
        through_batch: the newest micro-batch whose events are in the profiles.
        etag: the version that was read; None if there was none, and empty if it was so damaged
            that its version is unknown.
        written: when the run began; ISO 8601, UTC.

    Returns:
        What was written.

    Raises:
        WriteConflictError: another run wrote the profiles in the meantime.
    """
    data = to_parquet(profiles, {THROUGH_BATCH: str(through_batch)}, row_group_size=ROW_GROUP)
    new_etag = store.put(
        profiles_name(bucket),
        data,
        attributes=_attributes(profiles, through_batch, written),
        if_match=etag or None,
        if_absent=etag is None,
    )
    return BucketObject(through_batch, profiles.height, written, new_etag)


def write_event_counts(
    store: ObjectStore, bucket: int, counts: pl.DataFrame, through_batch: int, written: str = ""
) -> BucketObject:
    """Replace a bucket's event counts.

    Args:
        store: the lake.
        bucket: the bucket of the events.
        counts: `METRIC_SCHEMA`.
        through_batch: the newest micro-batch whose events are counted.
        written: when the run began; ISO 8601, UTC.

    Returns:
        What was written.
    """
    data = to_parquet(counts, {THROUGH_BATCH: str(through_batch)})
    attributes = _attributes(counts, through_batch, written)
    etag = store.put(event_counts_name(bucket), data, attributes=attributes)
    return BucketObject(through_batch, counts.height, written, etag)


def _attributes(frame: pl.DataFrame, through_batch: int, written: str) -> dict[str, str]:
    return {THROUGH_BATCH: str(through_batch), ROWS: str(frame.height), WRITTEN: written}


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
