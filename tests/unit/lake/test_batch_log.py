"""Which offsets a micro-batch contains, and what a checkpoint keeps of old micro-batches."""

from __future__ import annotations

from contextlib import suppress

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.lake.batch_log import (
    BatchLog,
    LandedBatch,
    OffsetSpan,
    next_offset_ranges,
)
from customer_profiles.lake.errors import WriteConflictError
from customer_profiles.lake.layout import BATCHES_PREFIX, CHECKPOINT
from tests.support import MemoryObjectStore


@pytest.mark.parametrize(
    ("watermarks", "start_offsets", "max_events", "expected"),
    [
        ({0: (0, 10), 1: (0, 0)}, {}, 100, {0: (0, 10), 1: (0, 0)}),
        ({0: (0, 10), 1: (0, 8)}, {0: 4, 1: 8}, 100, {0: (4, 10), 1: (8, 8)}),
        ({0: (0, 100), 1: (0, 100)}, {}, 60, {0: (0, 30), 1: (0, 30)}),
        ({0: (5, 10)}, {0: 5}, 100, {0: (5, 10)}),
        ({0: (0, 10), 1: (0, 3)}, {0: 10}, 100, {0: (10, 10), 1: (0, 3)}),
    ],
)
def test_the_next_ranges_begin_at_the_start_offsets_and_respect_the_limit(
    watermarks: dict[int, OffsetSpan],
    start_offsets: dict[int, int],
    max_events: int,
    expected: dict[int, OffsetSpan],
) -> None:
    assert next_offset_ranges(watermarks, start_offsets, max_events) == expected


def test_messages_removed_before_they_were_read_stop_the_run() -> None:
    with pytest.raises(PipelineError, match="7 messages were removed"):
        next_offset_ranges({0: (12, 20)}, {0: 5}, 100)


def test_a_recreated_topic_stops_the_run() -> None:
    with pytest.raises(PipelineError, match="made anew"):
        next_offset_ranges({0: (0, 3)}, {0: 5}, 100)


def landed_batch(*buckets: int) -> LandedBatch:
    return LandedBatch(len(buckets), 0, dict.fromkeys(buckets, 1))


def store_with_batches(count: int) -> MemoryObjectStore:
    """Return a store whose batch N has the offsets N - 1 to N of a partition, all in bucket N."""
    store = MemoryObjectStore()
    log = BatchLog(store)
    for number in range(1, count + 1):
        log.commit(log.plan({0: (number - 1, number)}, 8), landed_batch(number))
    return store


def test_a_checkpoint_keeps_what_its_batches_recorded() -> None:
    store = store_with_batches(5)
    before = BatchLog(store)
    before.checkpoint(3)
    after = BatchLog(store)
    for log in (before, after):
        assert log.last_committed == 5
        assert log.buckets() == 8
        assert log.next_offsets() == {0: 5}
        assert log.buckets_changed_since(3) == {4, 5}
        assert log.buckets_changed_since(0) == {1, 2, 3, 4, 5}
    names = store.list_sizes(BATCHES_PREFIX)
    assert [name.removeprefix(BATCHES_PREFIX) for name in names if name != CHECKPOINT] == [
        "000004.done.json",
        "000004.json",
        "000005.done.json",
        "000005.json",
    ]


def test_batch_numbers_continue_after_a_checkpoint_of_all_batches() -> None:
    store = store_with_batches(2)
    BatchLog(store).checkpoint(2)
    log = BatchLog(store)
    assert (log.last_committed, log.next_offsets(), log.uncommitted()) == (2, {0: 2}, None)
    assert log.plan({0: (2, 4)}, 8).number == 3
    assert BatchLog(store).uncommitted() is not None


@pytest.mark.parametrize("writes", range(7))
def test_an_interrupted_checkpoint_loses_nothing(writes: int) -> None:
    store = store_with_batches(3)
    store.stop_after(writes)
    with suppress(InterruptedError):
        BatchLog(store).checkpoint(3)
    store.stop_after(None)
    log = BatchLog(store)
    assert (log.last_committed, log.next_offsets(), log.buckets_changed_since(0)) == (
        3,
        {0: 3},
        {1, 2, 3},
    )
    log.checkpoint(3)
    assert list(store.list_sizes(BATCHES_PREFIX)) == [CHECKPOINT]


def test_a_run_suspended_during_a_checkpoint_cannot_plan_an_old_batch_again() -> None:
    store = store_with_batches(1)
    suspended = BatchLog(store)
    other = BatchLog(store)
    other.commit(other.plan({0: (1, 2)}, 8), landed_batch(1))
    other.checkpoint(2)
    with pytest.raises(WriteConflictError):
        suspended.plan({0: (1, 2)}, 8)
    assert BatchLog(store).uncommitted() is None
    assert BatchLog(store).last_committed == 2


def test_the_stored_format_never_changes() -> None:
    store = MemoryObjectStore()
    log = BatchLog(store)
    log.commit(log.plan({0: (0, 5), 1: (2, 2)}, 8), LandedBatch(4, 1, {3: 3, 0: 1}, 1_600_000_000))
    assert store.get_json("events/_batches/000001.json") == {
        "batch": 1,
        "buckets": 8,
        "ranges": {"0": [0, 5], "1": [2, 2]},
    }
    assert store.get_json("events/_batches/000001.done.json") == {
        "events": 4,
        "misfits": 1,
        "events_by_bucket": {"00": 1, "03": 3},
    }
    log.checkpoint(1)
    assert store.get_json("events/_batches/through.json") == {
        "through_batch": 1,
        "buckets": 8,
        "next_offsets": {"0": 5, "1": 2},
        "touched": [0, 3],
    }
