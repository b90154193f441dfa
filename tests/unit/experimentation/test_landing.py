"""Each message is in the lake once, or a dead letter once, wherever a run is killed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from customer_profiles.contracts import bucket_of
from customer_profiles.contracts.exposure import Exposure
from customer_profiles.experimentation.landing import LandingReport, Messages, land
from customer_profiles.lake.check import list_lake
from customer_profiles.lake.errors import WriteConflictError
from customer_profiles.lake.expectation import objects_by_bucket
from customer_profiles.lake.exposures import EXPOSURE_LOG, ExposureCounts, ExposureLake
from customer_profiles.lake.runs import this_run
from tests.support import MemoryObjectStore

BUCKETS = 4


def exposure(user: int, second: int = 0, variant: str = "control") -> bytes:
    time = f"2020-11-02T09:30:{second:02d}Z"
    return Exposure("free-shipping", variant, str(user), time).to_json().encode()


class MemoryTopic:
    """A topic of two partitions. The offsets of each start at `first`."""

    def __init__(self, *messages: bytes | None, topic_id: str = "t1") -> None:
        self.topic_id = topic_id
        self.first = 0
        self.partitions: dict[int, list[bytes | None]] = {0: [], 1: []}
        self.letters: list[tuple[str, str]] = []
        self.send(*messages)

    def send(self, *messages: bytes | None) -> None:
        for number, message in enumerate(messages):
            self.partitions[number % 2].append(message)

    def state(self) -> tuple[str | None, dict[int, tuple[int, int]]]:
        ends = {number: len(values) for number, values in self.partitions.items()}
        return self.topic_id, {number: (min(self.first, end), end) for number, end in ends.items()}

    def read(self, partition: int, start: int, end: int) -> Iterator[Messages]:
        for offset in range(start, end, 3):
            part = range(offset, min(offset + 3, end))
            yield Messages(list(part), [self.partitions[partition][number] for number in part])

    def publish_dead_letters(self, letters: list[tuple[str, str]], *, again: bool) -> None:
        self.letters += [letter for letter in letters if not (again and letter in self.letters)]


MESSAGES = [
    *(exposure(user) for user in range(20)),
    exposure(3),
    exposure(3, second=9),
    b"no json",
    None,
    b'{"schema_version": 1}',
]
EXPECTED = ExposureCounts(read=25, accepted=21, dead_lettered=3, duplicates=1)


def landed(store: MemoryObjectStore) -> list[tuple[str, str]]:
    frame = ExposureLake(store).read("free-shipping")
    return sorted(frame.select("user_id", "exposure_id").iter_rows())


def run(store: MemoryObjectStore, topic: MemoryTopic, batch_messages: int = 100) -> LandingReport:
    return land(ExposureLake(store), topic, BUCKETS, batch_messages=batch_messages)


@pytest.mark.parametrize("batch_messages", [2, 7, 100])
def test_read_is_accepted_and_dead_lettered_and_duplicates(batch_messages: int) -> None:
    store, topic = MemoryObjectStore(), MemoryTopic(*MESSAGES)
    report = run(store, topic, batch_messages)
    assert report.counts == EXPECTED
    assert report.counts.add_up
    assert len(landed(store)) == len(set(landed(store))) == EXPECTED.accepted
    assert report.reasons["not_json"] == 2
    assert report.reasons["user_id_invalid"] == 1
    key, text = topic.letters[0]
    letter = json.loads(text)
    assert key == f"{letter['source']}/{letter['source_row']}"
    assert len(topic.letters) == 3


def test_a_second_run_finds_nothing_new_and_a_repeat_is_a_duplicate() -> None:
    store, topic = MemoryObjectStore(), MemoryTopic(*MESSAGES)
    run(store, topic)
    assert run(store, topic).batches == 0
    topic.send(exposure(3), exposure(21))
    assert run(store, topic).counts == ExposureCounts(read=2, accepted=1, duplicates=1)
    assert run(store, topic).total == EXPECTED + ExposureCounts(2, 1, 0, 1)


def test_a_run_that_is_killed_at_any_write_loses_and_repeats_nothing() -> None:
    whole = MemoryObjectStore()
    run(whole, MemoryTopic(*MESSAGES), 10)
    writes = 0
    while True:
        store, topic = MemoryObjectStore(), MemoryTopic(*MESSAGES)
        store.stop_after(writes)
        try:
            run(store, topic, 10)
        except InterruptedError:
            store.stop_after(None)
            assert set(landed(store)) <= set(landed(whole))
            report = run(store, topic, 10)
            assert report.total == EXPECTED
            assert landed(store) == landed(whole)
            assert len(topic.letters) == len(set(topic.letters)) == EXPECTED.dead_lettered
            writes += 1
        else:
            break
    assert writes > 10


def test_what_a_killed_run_wrote_is_not_read_before_its_commit() -> None:
    store, topic = MemoryObjectStore(), MemoryTopic(*MESSAGES)
    store.stop_after(3)
    with pytest.raises(InterruptedError):
        run(store, topic)
    assert len(store.objects) == 3
    assert landed(store) == []


def test_a_topic_that_was_made_anew_is_read_from_its_start_and_counts_nothing_twice() -> None:
    store = MemoryObjectStore()
    run(store, MemoryTopic(*MESSAGES))
    before = landed(store)
    report = run(store, MemoryTopic(exposure(3), exposure(40), topic_id="t2"))
    assert report.new_topic
    assert report.counts == ExposureCounts(read=2, accepted=1, duplicates=1)
    assert len(landed(store)) == len(before) + 1


def test_a_planned_batch_of_a_topic_that_is_gone_is_given_up_and_counted_as_lost() -> None:
    store = MemoryObjectStore()
    store.stop_after(3)
    with pytest.raises(InterruptedError):
        run(store, MemoryTopic(*MESSAGES))
    store.stop_after(None)
    report = run(store, MemoryTopic(exposure(40), topic_id="t2"))
    assert (report.lost, report.counts.accepted) == (25, 1)
    assert [user for user, _ in landed(store)] == ["40"]


def test_messages_that_were_removed_before_they_were_read_are_counted() -> None:
    store, topic = MemoryObjectStore(), MemoryTopic(*MESSAGES)
    topic.first = 2
    report = run(store, topic)
    assert (report.lost, report.counts.read) == (4, 21)
    assert run(store, topic).lost == 0


def test_two_runs_at_once_land_each_exposure_once_and_one_of_them_stops() -> None:
    store, topic = MemoryObjectStore(), MemoryTopic(*MESSAGES)

    class Racing(MemoryTopic):
        def read(self, partition: int, start: int, end: int) -> Iterator[Messages]:
            if not partition:
                # Meanwhile, another run takes the plan over and lands it.
                run(store, topic)
            yield from super().read(partition, start, end)

    with pytest.raises(WriteConflictError, match="at the same time"):
        run(store, Racing(*MESSAGES))
    assert len(landed(store)) == EXPECTED.accepted


def test_a_run_leaves_a_batch_to_the_process_that_lands_it(monkeypatch: pytest.MonkeyPatch) -> None:
    store, topic = MemoryObjectStore(), MemoryTopic(*MESSAGES)
    store.stop_after(2)
    with pytest.raises(InterruptedError):
        run(store, topic)
    store.stop_after(None)
    log = json.loads(store.objects[EXPOSURE_LOG])
    log["plan"]["planned_by"] = this_run() | {"pid": 1, "started": 1}
    ExposureLake(store)._store.put_json(EXPOSURE_LOG, log)
    monkeypatch.setattr("customer_profiles.lake.runs._started", lambda _pid: 1)
    with pytest.raises(WriteConflictError, match="process 1"):
        run(store, topic)


def test_erasing_customers_deletes_their_exposures_and_no_others() -> None:
    store = MemoryObjectStore()
    run(store, MemoryTopic(*MESSAGES))
    assert ExposureLake(store).erase(["3", "999"]) == 2
    assert {user for user, _ in landed(store)} == {str(user) for user in range(20)} - {"3"}
    assert ExposureLake(store).erase(["3"]) == 0


def test_a_customer_has_all_exposures_in_one_bucket() -> None:
    store = MemoryObjectStore()
    run(store, MemoryTopic(*MESSAGES))
    prefix = f"experiments/exposures/bucket={bucket_of('3', BUCKETS):02d}/"
    names = list(store.list_sizes("experiments/exposures/bucket="))
    assert f"{prefix}batch=000001.parquet" in names
    assert len(names) <= BUCKETS


def test_the_check_of_the_lake_takes_exposures_for_none_of_its_own_objects() -> None:
    store = MemoryObjectStore()
    run(store, MemoryTopic(*MESSAGES))
    assert objects_by_bucket(list_lake(store)) == {}
