"""Which offsets a micro-batch contains, and what a checkpoint keeps of old micro-batches."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from customer_profiles.lake.batch_log import BatchLog, LandedBatch
from customer_profiles.lake.errors import (
    DamagedObjectError,
    LakeUnavailableError,
    WriteConflictError,
)
from customer_profiles.lake.layout import BATCHES_PREFIX, CHECKPOINT, commit_name, plan_name
from customer_profiles.lake.runs import this_run
from tests.support import MemoryObjectStore


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


def test_the_log_knows_the_topic_also_after_a_checkpoint() -> None:
    store = store_with_batches(1)
    log = BatchLog(store)
    assert log.topic_id() is None
    log.commit(log.plan({0: (1, 2)}, 8, topic_id="t1"), landed_batch(1))
    assert BatchLog(store).topic_id() == "t1"
    log.checkpoint(2)
    assert (log.topic_id(), BatchLog(store).topic_id()) == ("t1", "t1")


def test_of_two_runs_that_plan_at_once_the_second_names_the_first() -> None:
    store = store_with_batches(1)
    first, second = BatchLog(store), BatchLog(store)
    run = {"host": "elsewhere", "pid": 7, "since": "2020-09-24T11:57:06+00:00"}
    first.plan({0: (1, 2)}, 8, run=run)
    expected = r"elsewhere \(process 7\) since 2020-09-24T11:57:06\+00:00, is landing micro-batch 2"
    with pytest.raises(WriteConflictError, match=expected):
        second.plan({0: (1, 3)}, 8)


def test_of_two_runs_that_land_the_same_batch_only_one_claims_it() -> None:
    store = store_with_batches(0)
    first = BatchLog(store)
    batch = first.plan({0: (0, 2)}, 8)
    second = BatchLog(store)
    assert second.uncommitted() is not None
    first.commit(batch, landed_batch(1))
    with pytest.raises(WriteConflictError, match="is landing micro-batch 1"):
        second.commit(batch, landed_batch(1))


def test_the_stored_format_never_changes() -> None:
    store = MemoryObjectStore()
    log = BatchLog(store)
    files = {3: (900, '"e3"'), 0: (700, '"e0"')}
    landed = LandedBatch(4, 1, {3: 3, 0: 1}, 1_600_000_000, files)
    log.commit(log.plan({0: (0, 5), 1: (2, 2)}, 8), landed)
    assert store.get_json("events/_batches/000001.json") == {
        "batch": 1,
        "buckets": 8,
        "ranges": {"0": [0, 5], "1": [2, 2]},
    }
    assert store.get_json("events/_batches/000001.done.json") == {
        "events": 4,
        "misfits": 1,
        "events_by_bucket": {"00": 1, "03": 3},
        "files": {"00": [700, '"e0"'], "03": [900, '"e3"']},
        "oldest_ms": 1_600_000_000,
        "plan": store.get_json("events/_batches/000001.json"),
    }
    assert BatchLog(store).commit_record(1) == landed
    log.checkpoint(1)
    assert store.get_json("events/_batches/through.json") == {
        "through_batch": 1,
        "buckets": 8,
        "next_offsets": {"0": 5, "1": 2},
        "touched": [0, 3],
        "events_by_bucket": {"00": 1, "03": 3},
    }


def test_the_checkpoint_adds_up_the_events_of_each_bucket() -> None:
    store = MemoryObjectStore()
    log = BatchLog(store)
    for number in range(4):
        log.commit(log.plan({0: (number, number + 1)}, 4), LandedBatch(3, 0, {number % 2: 3}))
        if number:
            log.checkpoint(number)
    assert BatchLog(store).checkpoint_record.events_by_bucket == {0: 6, 1: 3}
    assert BatchLog(store).events_by_bucket(4) == {1: 3}


def test_a_log_of_0_2_is_continued() -> None:
    store = MemoryObjectStore()
    checkpoint = {"through_batch": 4, "buckets": 8, "next_offsets": {"0": 9}, "touched": [1, 2]}
    store.put_json("events/_batches/through.json", checkpoint)
    plan = {"batch": 5, "buckets": 8, "ranges": {"0": [9, 12]}}
    store.put_json("events/_batches/000005.json", plan)
    commit = {"events": 3, "misfits": 0, "events_by_bucket": {"02": 3}}
    store.put_json("events/_batches/000005.done.json", commit)
    log = BatchLog(store)
    assert log.commit_record(5) == LandedBatch(3, 0, {2: 3})
    log.checkpoint(5)
    # How many events the older batches brought stays unknown.
    assert store.get_json("events/_batches/through.json") == {
        "through_batch": 5,
        "buckets": 8,
        "next_offsets": {"0": 12},
        "touched": [1, 2],
    }


def read_all(store: MemoryObjectStore) -> None:
    log = BatchLog(store)
    log.next_offsets()
    log.buckets_changed_since(0)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"batch": 1}', b"[" * 100_000, b"\xff"])
@pytest.mark.parametrize("name", ["000001.json", "000001.done.json", "through.json"])
def test_a_broken_record_is_named(name: str, content: bytes) -> None:
    store = MemoryObjectStore()
    log = BatchLog(store)
    log.commit(log.plan({0: (0, 5)}, 8), LandedBatch(5, 0, {3: 5}))
    store.put(f"events/_batches/{name}", content)
    with pytest.raises(DamagedObjectError, match=rf"^events/_batches/{name} in the lake is dam"):
        read_all(store)


def test_other_objects_are_no_part_of_the_log() -> None:
    store = MemoryObjectStore()
    store.put("events/_batches/notes.txt", b"")
    store.put("events/_batches/copy of 000001.json", b"")
    assert BatchLog(store).last_committed == len(BatchLog(store)) == 0


class UnansweringStore(MemoryObjectStore):
    """Stores the next objects of some names and does not answer."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.unanswered = list(names)

    def put(self, name: str, data: bytes, *arguments: Any, **options: Any) -> str:
        etag = super().put(name, data, *arguments, **options)
        if name in self.unanswered:
            self.unanswered.remove(name)
            raise LakeUnavailableError("MinIO does not answer.")
        return etag


def test_a_plan_and_a_commit_whose_answer_was_lost_are_the_run_s_own() -> None:
    store = UnansweringStore(plan_name(1), commit_name(1))
    log = BatchLog(store)
    with pytest.raises(LakeUnavailableError):
        log.plan({0: (0, 10)}, 2, run=this_run())
    # In the meantime the topic has grown. What is stored counts.
    batch = log.plan({0: (0, 12)}, 2, run=this_run())
    assert batch.ranges == {0: (0, 10)}
    landed = LandedBatch(10, 0, {0: 10})
    with pytest.raises(LakeUnavailableError):
        log.commit(batch, landed)
    log.commit(batch, landed)
    assert BatchLog(store).last_committed == 1
    with pytest.raises(WriteConflictError):
        BatchLog(store).commit(batch, landed)


def test_a_checkpoint_that_could_not_be_written_counts_no_event_twice() -> None:
    store = UnansweringStore(CHECKPOINT)
    log = BatchLog(store)
    for number in range(3):
        batch = log.plan({0: (10 * number, 10 * number + 10)}, 2)
        log.commit(batch, LandedBatch(10, 0, {0: 4, 1: 6}))
    with pytest.raises(LakeUnavailableError):
        log.checkpoint(3)
    log.checkpoint(3)
    assert BatchLog(store).checkpoint_record.events_by_bucket == {0: 12, 1: 18}
