"""The data files of a bucket contain each event once, even if compaction is interrupted."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest

from customer_profiles.lake import events as event_files
from customer_profiles.lake.compaction import MIN_COMPACTED_FILES
from customer_profiles.lake.events import EVENT_SCHEMA, EventPartition
from customer_profiles.lake.layout import data_file_name
from customer_profiles.lake.object_store import ObjectInfo
from tests.support import MemoryObjectStore


def landed_events(*user_ids: str, first_offset: int = 0) -> pl.DataFrame:
    """Return one landed event for each user id."""
    return pl.DataFrame(
        [
            {
                "event_id": f"{first_offset + number:032x}",
                "event_time": datetime(2020, 9, 24, 11, 57, 6, tzinfo=UTC),
                "event_type": "view",
                "price": Decimal(1),
                "user_id": user_id,
                "user_session": "s",
                "kafka_partition": 0,
                "kafka_offset": first_offset + number,
            }
            for number, user_id in enumerate(user_ids)
        ],
        schema=EVENT_SCHEMA,
    )


def read_file(store: MemoryObjectStore, name: str) -> pl.DataFrame:
    stored = store.get(name)
    assert stored
    return pl.read_parquet(io.BytesIO(stored.data))


def test_the_order_of_events_does_not_change_the_stored_bytes() -> None:
    store = MemoryObjectStore()
    events = landed_events("3", "1", "2", "1")
    EventPartition(store, 7).write(12, events)
    first = store.get("events/bucket=07/batch=000012.parquet")
    EventPartition(store, 7).write(12, events.reverse())
    assert store.get("events/bucket=07/batch=000012.parquet") == first
    assert list(store.list_sizes("events/")) == ["events/bucket=07/batch=000012.parquet"]


def test_each_customer_is_in_exactly_one_slice_with_all_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_files, "SLICE_EVENTS", 4)
    store = MemoryObjectStore()
    users = [str(number % 7) for number in range(40)]
    for batch in (1, 2):
        EventPartition(store, 0).write(batch, landed_events(*users, first_offset=100 * batch))
    partition = EventPartition(store, 0)
    user_ids = pl.Series("user_id", ["0", "2", "3", "5", "nobody"])
    slices = list(partition.slices(partition.live_files(9), user_ids))
    assert len(slices) > 2
    users_by_slice = [set(part["user_id"]) for part in slices]
    assert sum(len(part) for part in users_by_slice) == len(set().union(*users_by_slice)) == 4
    assert sum(part.height for part in slices) == 2 * sum(user in set(user_ids) for user in users)


def test_compaction_merges_small_files_and_keeps_their_events() -> None:
    store = MemoryObjectStore()
    for batch in range(1, MIN_COMPACTED_FILES + 2):
        EventPartition(store, 0).write(batch, landed_events("1", "2", first_offset=10 * batch))
    before = pl.concat([read_file(store, name) for name in store.list_sizes("events/")])
    count, merged = EventPartition(store, 0).compact(MIN_COMPACTED_FILES, 2 * MIN_COMPACTED_FILES)
    assert count == MIN_COMPACTED_FILES
    assert merged is not None
    assert merged.events == 2 * MIN_COMPACTED_FILES
    names = list(store.list_sizes("events/"))
    assert names == [
        f"events/bucket=00/batch=000001-{MIN_COMPACTED_FILES:06d}.parquet",
        f"events/bucket=00/batch={MIN_COMPACTED_FILES + 1:06d}.parquet",
    ]
    after = pl.concat([read_file(store, name) for name in names])
    assert after.sort("kafka_offset").equals(before.sort("kafka_offset"))
    again = EventPartition(store, 0).compact(MIN_COMPACTED_FILES, 2 * MIN_COMPACTED_FILES)
    assert again == (0, None)


@pytest.mark.parametrize("hidden", [1, 3, MIN_COMPACTED_FILES])
def test_compaction_does_nothing_if_its_listing_lacks_a_file(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, hidden: int
) -> None:
    """A merged file would cover the batch, and the next compaction would delete its events."""
    store = MemoryObjectStore()
    batches = MIN_COMPACTED_FILES + 1
    for batch in range(1, batches + 1):
        EventPartition(store, 0).write(batch, landed_events("1", "2", first_offset=10 * batch))
    before = dict(store.objects)
    list_objects = store.list_objects

    def list_without_one(prefix: str) -> dict[str, ObjectInfo]:
        objects = list_objects(prefix)
        objects.pop(data_file_name(0, hidden), None)
        return objects

    with monkeypatch.context() as patch:
        patch.setattr(store, "list_objects", list_without_one)
        assert EventPartition(store, 0).compact(batches, 2 * batches) == (0, None)
    assert store.objects == before
    assert "bucket 00 was not compacted: its files have 16 events instead of 18" in caplog.text
    assert EventPartition(store, 0).compact(batches, 2 * batches)[0] == batches


def test_a_file_whose_events_no_other_one_has_is_not_deleted() -> None:
    """A merged file that lacks the events of a batch covers the batch all the same."""
    store = MemoryObjectStore()
    for batch in (1, 2, 3):
        EventPartition(store, 0).write(batch, landed_events("1", first_offset=batch))
    EventPartition(store, 0).write_span(1, 3, landed_events("1", "2", first_offset=1))
    assert EventPartition(store, 0).compact(3, expected_events=3) == (0, None)
    assert len(store.objects) == 4
    EventPartition(store, 0).compact(3, expected_events=2)
    assert list(store.objects) == [data_file_name(0, 1, 3)]


@pytest.mark.parametrize("writes", range(MIN_COMPACTED_FILES + 1))
def test_an_interrupted_compaction_neither_loses_nor_repeats_events(writes: int) -> None:
    store = MemoryObjectStore()
    for batch in range(1, MIN_COMPACTED_FILES + 1):
        EventPartition(store, 0).write(batch, landed_events("1", first_offset=batch))
    store.stop_after(writes)
    with pytest.raises(InterruptedError):
        EventPartition(store, 0).compact(MIN_COMPACTED_FILES, MIN_COMPACTED_FILES)
    store.stop_after(None)
    partition = EventPartition(store, 0)
    (events,) = partition.slices(partition.live_files(99), pl.Series("user_id", ["1"]))
    assert events.height == MIN_COMPACTED_FILES
    EventPartition(store, 0).compact(MIN_COMPACTED_FILES, MIN_COMPACTED_FILES)
    assert list(store.list_sizes("events/")) == [
        f"events/bucket=00/batch=000001-{MIN_COMPACTED_FILES:06d}.parquet"
    ]
