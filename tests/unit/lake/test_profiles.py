"""The profiles and event counts of a bucket, stored as objects."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from customer_profiles.contracts import bucket_of
from customer_profiles.lake.batch_log import BatchLog, LandedBatch
from customer_profiles.lake.errors import WriteConflictError
from customer_profiles.lake.layout import event_counts_name
from customer_profiles.lake.profiles import (
    BucketProfiles,
    find_profile,
    read_profiles,
    write_event_counts,
    write_profiles,
)
from customer_profiles.profiles.aggregate import build_profiles
from customer_profiles.profiles.segments import read_segments
from tests.support import MemoryObjectStore, event, events

SEGMENTS = read_segments()
PROFILES = build_profiles(
    events(event(user_id="7"), event(user_id="8")), SEGMENTS, datetime(2020, 10, 1, tzinfo=UTC)
)


def test_a_bucket_without_profiles_is_empty() -> None:
    empty = read_profiles(MemoryObjectStore(), 3)
    assert (empty.profiles.height, empty.etag, empty.through_batch) == (0, None, 0)
    assert empty.profiles.schema == PROFILES.schema


def test_profiles_are_read_as_they_were_written() -> None:
    store = MemoryObjectStore()
    write_profiles(store, 3, PROFILES, 12, None)
    current = read_profiles(store, 3)
    assert_frame_equal(current.profiles, PROFILES)
    assert current.through_batch == 12
    write_profiles(store, 3, PROFILES, 13, current.etag)
    assert read_profiles(store, 3).through_batch == 13


@pytest.mark.parametrize("has_profiles", [True, False])
def test_profiles_that_another_run_wrote_are_not_overwritten(has_profiles: bool) -> None:
    store = MemoryObjectStore()
    current = BucketProfiles(PROFILES.clear(), None, 0)
    if has_profiles:
        write_profiles(store, 3, PROFILES, 11, None)
        current = read_profiles(store, 3)
    write_profiles(store, 3, PROFILES, 12, current.etag)
    with pytest.raises(WriteConflictError):
        write_profiles(store, 3, PROFILES, 13, current.etag)
    assert read_profiles(store, 3).through_batch == 12


def test_event_counts_record_the_last_batch_that_they_include() -> None:
    store = MemoryObjectStore()
    counts = pl.DataFrame({"events": [1, 2]})
    write_event_counts(store, 3, counts, 12)
    data = store.objects[event_counts_name(3)]
    assert_frame_equal(pl.read_parquet(io.BytesIO(data)), counts)
    assert pl.read_parquet_metadata(io.BytesIO(data))["through_batch"] == "12"


def test_a_profile_is_read_from_its_bucket() -> None:
    store = MemoryObjectStore()
    assert find_profile(store, "7").is_empty()
    log = BatchLog(store)
    log.commit(log.plan({0: (0, 2)}, 8), LandedBatch(2, 0, {bucket_of("7", 8): 2}))
    write_profiles(store, bucket_of("7", 8), PROFILES, 1, None)
    assert find_profile(store, "7")["user_id"].to_list() == ["7"]
    assert find_profile(store, "no such customer").is_empty()
