"""Which data file made reading a bucket's events fail, and why.

Checksums find most damage when an object is read. This looks at the values, for files of version
0.2, which have no checksum. It reads everything again, so it is only called after a failure.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import polars as pl

from customer_profiles.contracts import bucket_of
from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.events import EVENT_SCHEMA, DataFile
from customer_profiles.lake.object_store import ObjectStore

UNREADABLE = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What Polars raises for a file that is no Parquet file. A panic is no `Exception`."""


def find_damage(
    store: ObjectStore, bucket: int, buckets: int, files: Sequence[DataFile]
) -> DamagedObjectError | None:
    """Look for the first data file that is missing or that does not hold events of its bucket.

    Args:
        store: the lake.
        bucket: the bucket of the files.
        buckets: the number of buckets in the lake.
        files: the live files.

    Returns:
        The object and what is wrong with it; None if all files can be read.
    """
    for file in files:
        try:
            stored = store.get(file.name)
            if stored is None:
                return DamagedObjectError(file.name, "it is missing")
            events = pl.read_parquet(io.BytesIO(stored.data)).select(*EVENT_SCHEMA)
            problem = problem_of_events(events, bucket, buckets)
        except DamagedObjectError as error:
            return error
        except UNREADABLE as error:
            problem = f"it cannot be read ({next(iter(str(error).splitlines()), '')})"
        if problem:
            return DamagedObjectError(file.name, problem)
    return None


def problem_of_events(events: pl.DataFrame, bucket: int, buckets: int) -> str | None:
    """Return what no event of a bucket can have; None if there is nothing.

    Args:
        events: `event_time` and `user_id` at least.
        bucket: the bucket.
        buckets: the number of buckets in the lake.
    """
    if events["event_time"].null_count() or events["user_id"].null_count():
        return "an event has no event_time or no user_id"
    if not events["event_time"].dt.year().is_between(1, 9999).all():
        return "an event_time is not in the years 0001 to 9999"
    users = events["user_id"].unique()
    if any(bucket_of(user_id, buckets) != bucket for user_id in users):
        return "it has customers of other buckets"
    return None
