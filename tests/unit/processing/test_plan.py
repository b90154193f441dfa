"""What a run decides to do, from the lake's state and the topic's watermarks."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.kafka.admin import TopicState
from customer_profiles.lake.batch_log import BatchLog, LandedBatch
from customer_profiles.lake.formats import FORMAT
from customer_profiles.lake.layout import LEASE, REBUILDING, STATE, event_counts_name
from customer_profiles.lake.parquet import to_parquet
from customer_profiles.processing.stages.plan import load_state, plan_batch, plan_profiles
from customer_profiles.processing.state import ProfilesState, RunState, Stopwatch
from customer_profiles.profiles.event_counts import METRIC_SCHEMA
from customer_profiles.profiles.segments import read_segments
from customer_profiles.search.errors import IndexUnavailableError
from customer_profiles.search.profile_index import IndexRef
from tests.support import MemoryObjectStore

LIVE = IndexRef("customer_profiles-000001", "u1")
NEW = IndexRef("customer_profiles-000002", "u2")


class FakeIndex:
    """Elasticsearch as far as planning needs it."""

    def __init__(self, *, answers: bool = True) -> None:
        self.answers = answers

    def ensure(self) -> IndexRef:
        if not self.answers:
            raise IndexUnavailableError("Elasticsearch does not answer")
        return LIVE

    def create(self) -> IndexRef:
        return NEW

    def through_batch(self, _: IndexRef) -> int | None:
        return None


def context(store: MemoryObjectStore, *, answers: bool = True, buckets: int = 4) -> Any:
    return SimpleNamespace(
        settings=SimpleNamespace(buckets=buckets, batch_events=100),
        segments=read_segments(),
        tasks=SimpleNamespace(kafka=None),
        store=store,
        batch_log=BatchLog(store),
        index=FakeIndex(answers=answers),
        stopwatch=Stopwatch(),
    )


def land(store: MemoryObjectStore, *buckets: int) -> None:
    """Plan and commit one batch with an event in each bucket."""
    log = BatchLog(store)
    batch = log.plan({0: (0, 10)}, 4)
    log.commit(batch, LandedBatch(len(buckets), 0, dict.fromkeys(buckets, 1)))


@pytest.mark.parametrize(
    ("watermarks", "next_ranges"),
    [
        ({0: (0, 0)}, None),
        ({0: (0, 7)}, {0: (0, 7)}),
        ({0: (0, 500), 1: (0, 3)}, {0: (0, 97), 1: (0, 3)}),
    ],
)
def test_a_batch_holds_what_is_new(
    watermarks: dict[int, tuple[int, int]], next_ranges: Any
) -> None:
    planned = plan_batch(context(MemoryObjectStore()), TopicState("t1", watermarks))
    assert (planned and dict(planned.batch.ranges)) == next_ranges
    assert planned is None or not planned.retry


def test_a_batch_that_was_never_committed_is_landed_again() -> None:
    store = MemoryObjectStore()
    BatchLog(store).plan({0: (0, 10)}, 4)
    planned = plan_batch(context(store), TopicState("t1", {0: (0, 30)}))
    assert planned is not None
    assert planned.retry
    assert planned.ranges == {0: (0, 10)}


def test_a_plan_notes_the_topic_and_the_run() -> None:
    store = MemoryObjectStore()
    plan_batch(context(store), TopicState("t1", {0: (0, 7)}))
    batch = BatchLog(store).uncommitted()
    assert batch is not None
    assert (batch.topic_id, BatchLog(store).topic_id()) == ("t1", "t1")
    assert batch.planned_by is not None
    assert batch.planned_by["pid"] == os.getpid()


@pytest.mark.parametrize(
    ("low", "removed", "ranges"),
    [
        (0, {}, {0: (2, 10), 1: (0, 0)}),
        (5, {0: (2, 5)}, {0: (5, 10), 1: (0, 0)}),
        (20, {0: (2, 10)}, {0: (10, 10), 1: (0, 0)}),
    ],
)
def test_a_planned_batch_whose_offsets_are_gone_lands_what_is_there(
    low: int, removed: dict[int, tuple[int, int]], ranges: dict[int, tuple[int, int]]
) -> None:
    store = MemoryObjectStore()
    BatchLog(store).plan({0: (2, 10), 1: (0, 0)}, 4)
    planned = plan_batch(context(store), TopicState("t1", {0: (low, 30), 1: (0, 0)}))
    assert planned is not None
    assert (dict(planned.removed), planned.ranges) == (removed, ranges)


@pytest.mark.parametrize(
    ("profiles", "live_index", "buckets"),
    [
        # Everything is new.
        (ProfilesState(), LIVE, (0, 1, 2)),
        # Only the second batch is new.
        (ProfilesState(through_batch=1, index=LIVE.key), LIVE, (2,)),
        (ProfilesState(through_batch=2, index=LIVE.key), LIVE, None),
        # The index lacks a bucket that the lake has.
        (ProfilesState(through_batch=2, index=LIVE.key, behind=(1,)), LIVE, (1,)),
        # Another index is live now: it needs everything.
        (ProfilesState(through_batch=2, index="another"), LIVE, (0, 1, 2)),
        # Without Elasticsearch, only the lake is brought up to date.
        (ProfilesState(through_batch=1, index=LIVE.key, behind=(1,)), None, (2,)),
        (ProfilesState(through_batch=2, index=LIVE.key, behind=(1,)), None, None),
    ],
)
def test_buckets_that_need_work(
    profiles: ProfilesState, live_index: IndexRef | None, buckets: tuple[int, ...] | None
) -> None:
    store = MemoryObjectStore()
    land(store, 0, 1)
    land(store, 2)
    planned = plan_profiles(context(store), RunState(profiles, live_index))
    assert (planned and planned.buckets) == buckets
    if planned:
        assert planned.task.through_batch == 2
        assert planned.task.index == live_index


def test_a_rebuild_fills_a_new_index_with_every_bucket_and_leaves_a_mark() -> None:
    store = MemoryObjectStore()
    land(store, 0, 3)
    state = RunState(ProfilesState(through_batch=1, index=LIVE.key), LIVE)
    planned = plan_profiles(context(store), state, rebuild=True)
    assert planned is not None
    assert (planned.buckets, planned.task.index, planned.task.rebuild) == ((0, 3), NEW, True)
    assert store.get_json(REBUILDING) is not None


def test_a_rebuild_of_an_empty_lake_does_nothing() -> None:
    store = MemoryObjectStore()
    state = RunState(ProfilesState(), LIVE)
    assert plan_profiles(context(store), state, rebuild=True) is None
    assert store.objects == {}


def test_elasticsearch_is_needed_for_a_rebuild_only() -> None:
    store = MemoryObjectStore()
    state = load_state(context(store, answers=False))
    assert state.live_index is None
    assert state.index_error == "Elasticsearch does not answer"
    with pytest.raises(IndexUnavailableError):
        load_state(context(store, answers=False), rebuild=True)


def test_a_run_beside_a_stream_is_refused_unless_it_is_the_stream() -> None:
    store = MemoryObjectStore()
    lease = {"owner": "x", "host": "elsewhere", "pid": 1, "since": "now", "seen": _now()}
    store.put_json(LEASE, lease)
    with pytest.raises(PipelineError, match="A stream runs on elsewhere"):
        load_state(context(store))
    assert load_state(context(store), holds_lease=True).live_index == LIVE


def test_a_lake_with_another_number_of_buckets_is_refused() -> None:
    store = MemoryObjectStore()
    land(store, 0)
    with pytest.raises(PipelineError, match=r"Set BUCKETS=4 in \.env"):
        load_state(context(store, buckets=8))


def test_rules_that_changed_without_a_new_version_are_refused() -> None:
    store = MemoryObjectStore()
    rules = {**read_segments().as_json(), "rules": [["Everybody", None, "0"]]}
    store.put_json(STATE, {**ProfilesState().to_json(), "segments": rules})
    with pytest.raises(PipelineError, match="their version is still 1"):
        load_state(context(store))


def test_the_state_in_the_lake_keeps_the_keys_of_0_1() -> None:
    store = MemoryObjectStore()
    totals = {"00": {"customers": 5, "segments": {}, "segments_versions": {}}}
    state = ProfilesState(3, LIVE.key, (1, 2), totals, {"version": 1}, False)
    state.save(store)
    assert store.get_json(STATE) == {
        "through_batch": 3,
        "index": LIVE.key,
        "behind": [1, 2],
        "buckets": totals,
        "segments": {"version": 1},
        "charted": False,
    }
    assert ProfilesState.load(store) == state


def test_a_lake_of_an_older_format_is_converted_before_anything_is_written() -> None:
    store = MemoryObjectStore()
    assert load_state(context(store)).profiles == ProfilesState(format=FORMAT)
    assert store.objects == {}
    counts = pl.DataFrame(schema={**METRIC_SCHEMA, "revenue": pl.Decimal(18, 4)})
    store.put(event_counts_name(0), to_parquet(counts, {"through_batch": "1"}))
    land(store)
    ProfilesState(through_batch=1, segments=read_segments().as_json()).save(store)
    state = load_state(context(store)).profiles
    assert (state.format, state.through_batch) == (FORMAT, 1)
    assert ProfilesState.load(store) == state
    converted = dict(store.objects)
    assert pl.read_parquet_schema(io.BytesIO(converted[event_counts_name(0)])) == METRIC_SCHEMA
    store.stop_after(0)
    assert load_state(context(store)).profiles == state


def _now() -> str:
    return datetime.now(UTC).isoformat()
