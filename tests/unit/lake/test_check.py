"""The manifest, and what differs from it in a lake."""

from __future__ import annotations

import pytest

from customer_profiles.lake.batch_log import BatchLog, LandedBatch
from customer_profiles.lake.check import check_lake, list_lake
from customer_profiles.lake.check_log import LogView, check_log
from customer_profiles.lake.compaction import MIN_COMPACTED_FILES
from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.events import EventPartition
from customer_profiles.lake.expectation import expected_events, update_manifest
from customer_profiles.lake.findings import Finding, Kind, LakeDamagedError, Remedy
from customer_profiles.lake.layout import MANIFEST, data_file_name
from customer_profiles.lake.manifest import BucketManifest, BucketObject, EventFile, Manifest
from tests.support import MemoryObjectStore
from tests.unit.lake.test_events import landed_events

BATCHES = MIN_COMPACTED_FILES
EVENTS = 2


def lake() -> tuple[MemoryObjectStore, BatchLog, Manifest]:
    """Return a lake of two buckets with some batches, all of them in bucket 1."""
    store = MemoryObjectStore()
    log = BatchLog(store)
    for batch in range(1, BATCHES + 1):
        land(store, log, batch)
    partition = EventPartition(store, 1)
    files = partition.records(partition.live_files(BATCHES))
    entry = BucketManifest(BATCHES, files, None, None)
    manifest, stale = update_manifest(None, log, [(1, entry, None)])
    assert not stale
    return store, log, manifest


def land(store: MemoryObjectStore, log: BatchLog, batch: int) -> None:
    events = landed_events("1", "2", first_offset=10 * batch)
    file = EventPartition(store, 1).write(batch, events)
    landed = LandedBatch(EVENTS, 0, {1: EVENTS}, files={1: (file.size, file.etag)})
    log.commit(log.plan({0: (EVENTS * batch - EVENTS, EVENTS * batch)}, 2), landed)


def findings(
    store: MemoryObjectStore, manifest: Manifest | None, through_batch: int = 0
) -> list[tuple[Kind, str, int | None]]:
    found = check_lake(
        store,
        BatchLog(store),
        manifest,
        list_lake(store),
        through_batch=through_batch,
        customers={},
    )
    return [(finding.kind, finding.object, finding.events) for finding in found]


def test_a_manifest_is_read_as_it_was_saved() -> None:
    manifest = Manifest(
        through_batch=3,
        buckets=2,
        next_offsets={0: 7, 2: 9},
        by_bucket={
            1: BucketManifest(
                3,
                (EventFile("events/bucket=01/batch=000001.parquet", 1, 1, 5, 900, '"e"'),),
                BucketObject(3, 2, "2026-01-01T00:00:00+00:00", '"p"'),
                None,
            )
        },
        topic_id="t",
    )
    store = MemoryObjectStore()
    assert Manifest.load(store) is None
    manifest.save(store)
    assert Manifest.load(store) == manifest
    store.put(MANIFEST, b'{"through_batch": 3}')
    with pytest.raises(DamagedObjectError, match="it has no 'buckets'"):
        Manifest.load(store)


def test_a_bucket_without_events_is_known_to_be_empty() -> None:
    _, log, manifest = lake()
    assert manifest.by_bucket[0] == BucketManifest(BATCHES, (), None, None)
    assert expected_events(log, manifest) == {0: 0, 1: EVENTS * BATCHES}
    assert expected_events(log, None) == {0: 0, 1: EVENTS * BATCHES}


def test_compaction_by_a_run_that_was_killed_is_no_finding() -> None:
    store, log, manifest = lake()
    EventPartition(store, 1).compact(BATCHES, EVENTS * BATCHES)
    assert findings(store, manifest) == []
    land(store, log, BATCHES + 1)
    assert findings(store, manifest) == []


def test_a_compacted_file_that_lacks_events_is_found() -> None:
    store, _, manifest = lake()
    merged = data_file_name(1, 1, BATCHES)
    for batch in range(1, BATCHES + 1):
        store.delete(data_file_name(1, batch))
    EventPartition(store, 1)._write(1, BATCHES, merged, landed_events("1"))
    assert findings(store, manifest) == [(Kind.INCOMPLETE, "events/bucket=01/", None)]


def test_a_data_file_that_came_back_is_found() -> None:
    store, _, manifest = lake()
    EventPartition(store, 0).write(3, landed_events("3"))
    assert findings(store, manifest) == [(Kind.INCOMPLETE, "events/bucket=00/", None)]


@pytest.mark.parametrize("checkpoint", [0, 4, BATCHES])
@pytest.mark.parametrize("known", [True, False])
def test_a_lost_file_is_found_also_behind_a_checkpoint(checkpoint: int, *, known: bool) -> None:
    store, log, manifest = lake()
    if checkpoint:
        log.checkpoint(checkpoint)
    store.delete(data_file_name(1, BATCHES))
    found = findings(store, manifest if known else None)
    if known or checkpoint < BATCHES:
        assert found == [(Kind.MISSING, data_file_name(1, BATCHES), EVENTS)]


@pytest.mark.parametrize(
    ("checkpoint", "planned", "committed", "newest_known", "found"),
    [
        (0, (), (), 0, []),
        (0, (1,), (), 0, []),
        (0, (1, 2), (1, 2), 2, []),
        (5, (6, 7), (6,), 6, []),
        # A topic that was made anew: the batch of the old one is committed after the next.
        (5, (6, 7), (7,), 5, []),
        (5, (6, 7), (7,), 7, ["events/_batches/000006.done.json"]),
        (5, (7,), (6, 7), 0, ["events/_batches/000006.json"]),
        (0, (1,), (1,), 3, ["events/_batches/000002.json"]),
        (0, (), (), 3, ["events/_batches/through.json"]),
        (3, (), (), 8, ["events/_batches/through.json"]),
    ],
)
def test_what_the_log_lacks(
    checkpoint: int,
    planned: tuple[int, ...],
    committed: tuple[int, ...],
    newest_known: int,
    found: list[str],
) -> None:
    view = LogView(checkpoint, planned, committed)
    assert [finding.object for finding in check_log(view, newest_known)] == found


def test_a_finding_says_what_it_concerns_and_what_mends_it() -> None:
    finding = Finding(
        Kind.MISSING, "a", Remedy.REPAIR, batches=(2, 4), events=3334, customers=6068, bucket=7
    )
    text = "a is missing (batches 2 to 4, 3,334 events, 6,068 customers in this bucket)"
    assert str(finding) == text
    error = LakeDamagedError([finding])
    assert str(error).splitlines()[1:] == [
        f"  {text}",
        "Run `make repair`. `make verify` checks all of the lake.",
    ]
    assert finding.to_json() == {
        "kind": "missing",
        "object": "a",
        "remedy": "make repair",
        "bucket": 7,
        "batches": (2, 4),
        "events": 3334,
        "customers": 6068,
    }
