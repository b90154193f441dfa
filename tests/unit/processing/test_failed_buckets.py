"""A bucket whose profiles cannot be built holds nothing up, and every run tries it again."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from customer_profiles.common.errors import DegradedError, PipelineError
from customer_profiles.lake.batch_log import BatchLog, LandedBatch
from customer_profiles.lake.events import EVENT_SCHEMA
from customer_profiles.lake.layout import REBUILDING, STATE, data_file_name
from customer_profiles.lake.parquet import to_parquet
from customer_profiles.processing import stream_state
from customer_profiles.processing.outcome import failure_of
from customer_profiles.processing.report import RunReport
from customer_profiles.processing.stages import build_profiles as stage
from customer_profiles.processing.stages.index import publish_index
from customer_profiles.processing.stages.plan import ProfilePlan, plan_profiles
from customer_profiles.processing.stages.publish import publish_report
from customer_profiles.processing.state import ProfilesState, RunState, Stopwatch
from customer_profiles.processing.stream_state import StreamState
from customer_profiles.processing.tasks.newest import _build_newest
from customer_profiles.processing.tasks.profile import BucketResult, ProfileTask, update_buckets
from customer_profiles.profiles.schema import EVENT_COLUMNS
from customer_profiles.profiles.segments import read_segments
from customer_profiles.search.profile_index import IndexRef
from tests.support import MemoryObjectStore, event, events
from tests.unit.processing.fakes import user_in

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SEGMENTS = read_segments()
REF = IndexRef("customer_profiles-000002", "u")
BUCKETS = (0, 1, 2)
USERS = [user_in(bucket, buckets=len(BUCKETS)) for bucket in BUCKETS]
BAD = 1
CUSTOMER = {"customers": 1, "segments": {}, "segments_versions": {}, "revenue_cents": 0}


def task(*, index: IndexRef | None = None, rebuild: bool = False) -> ProfileTask:
    return ProfileTask(1, SEGMENTS, NOW, index, rebuild=rebuild)


def lake() -> MemoryObjectStore:
    """Return a lake with an event in each bucket; one data file is no Parquet file."""
    store = MemoryObjectStore()
    for bucket in BUCKETS:
        rows = events(event(event_id=str(bucket), user_id=USERS[bucket])).select(EVENT_COLUMNS)
        full = pl.concat([pl.DataFrame(schema=EVENT_SCHEMA), rows], how="diagonal")
        store.put(data_file_name(bucket, 1), to_parquet(full))
    log = BatchLog(store)
    log.commit(log.plan({0: (0, 3)}, len(BUCKETS)), LandedBatch(3, 0, dict.fromkeys(BUCKETS, 1)))
    return store


def spoil(store: MemoryObjectStore) -> bytes:
    """Spoil a data file; return what it was."""
    name = data_file_name(BAD, 1)
    before = store.objects[name]
    store.put(name, b"no Parquet file")
    return before


def run(store: MemoryObjectStore) -> list[BucketResult]:
    config: Any = SimpleNamespace(connect_lake=lambda: store, buckets=len(BUCKETS))
    return list(update_buckets(config, task(), BUCKETS))


def context(store: MemoryObjectStore, index: Any = None) -> Any:
    return SimpleNamespace(
        settings=SimpleNamespace(buckets=len(BUCKETS)),
        segments=SEGMENTS,
        store=store,
        batch_log=BatchLog(store),
        index=index,
        stopwatch=Stopwatch(),
        start_spark=lambda _: None,
    )


def test_the_other_buckets_go_on_and_the_next_run_tries_again() -> None:
    store = lake()
    before = spoil(store)
    results = run(store)
    assert [result.updated for result in results] == [1, 0, 1]
    assert [result.bucket for result in results if result.error] == [BAD]
    assert f"{data_file_name(BAD, 1)} in the lake is damaged: it is no" in str(results[BAD].error)
    store.put(data_file_name(BAD, 1), before)
    results = run(store)
    assert [(result.updated, result.error) for result in results] == [
        (0, None),
        (1, None),
        (0, None),
    ]
    assert [result.totals["customers"] for result in results] == [1, 1, 1]


def test_a_panic_of_polars_is_a_reason_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(*_: object) -> None:
        raise pl.exceptions.PanicException("x" * 10_000)

    monkeypatch.setattr("customer_profiles.processing.tasks.profile.update_bucket", panic)
    results = run(lake())
    assert [result.bucket for result in results] == list(BUCKETS)
    assert all(str(result.error).startswith("PanicException: xxx") for result in results)
    assert {len(str(result.error)) for result in results} == {500}


@pytest.mark.parametrize("error", [PipelineError("MinIO does not answer"), InterruptedError()])
def test_an_unavailable_lake_is_no_reason_of_a_bucket(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("customer_profiles.processing.tasks.profile.update_bucket", fail)
    with pytest.raises(type(error)):
        run(lake())


def test_a_stream_indexes_the_customers_of_the_other_buckets() -> None:
    store = lake()
    assert _build_newest(store, task(), BUCKETS)["user_id"].to_list() == sorted(USERS)
    spoil(store)
    assert _build_newest(store, task(), BUCKETS)["user_id"].to_list() == sorted(
        [USERS[0], USERS[2]]
    )
    assert _build_newest(store, task(), [BAD]).is_empty()


def failed_run(monkeypatch: pytest.MonkeyPatch, store: MemoryObjectStore) -> RunState:
    """Build profiles after a data file was spoilt; return the state of the run."""
    monkeypatch.setattr(stage, "run_update", lambda *_: run(store))
    state = RunState(ProfilesState(totals={f"{BAD:02d}": CUSTOMER}), None)
    return stage.build_profiles(context(store), state, ProfilePlan(BUCKETS, task()))


def test_the_state_remembers_a_failed_bucket_until_it_succeeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = lake()
    before = spoil(store)
    state = failed_run(monkeypatch, store)
    assert list(state.profiles.failed) == ["01"]
    assert state.profiles.through_batch == 1
    # The totals are those of the profiles that the bucket still has.
    assert state.profiles.totals["01"] == CUSTOMER
    assert ProfilesState.load(store) == state.profiles
    plan = plan_profiles(context(store), state)
    assert plan is not None
    assert plan.buckets == (BAD,)
    store.put(data_file_name(BAD, 1), before)
    state = failed_run(monkeypatch, store)
    assert state.profiles.failed == {}
    assert "failed" not in (store.get_json(STATE) or {})


def test_the_report_and_the_exit_code_name_a_failed_bucket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = lake()
    spoil(store)
    report = publish_report(context(store), failed_run(monkeypatch, store))
    assert list(report.failed_buckets) == ["01"]
    message = str(failure_of(report))
    assert re.search(
        r"(?s)of 1 bucket could.*bucket 01: events/bucket=01.*`make process` tri", message
    )
    assert failure_of(RunReport()) is None
    behind = failure_of(RunReport(index_error="behind"))
    assert isinstance(behind, DegradedError)
    assert str(behind) == "behind"


def test_a_rebuilt_index_that_lacks_a_bucket_is_not_promoted() -> None:
    store = lake()
    store.put_json(REBUILDING, {})
    index = SimpleNamespace(refresh=lambda _: None)
    state = RunState(ProfilesState(failed={"01": "reason"}), REF)
    assert publish_index(context(store, index), state, task(index=REF, rebuild=True)) == state
    assert store.get_json(REBUILDING) == {}


def test_a_stream_goes_on_without_a_failed_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    results = [BucketResult(0, 1, 1, None, 0, CUSTOMER), BucketResult(1, 0, 0, None, 0, {}, "bad")]
    monkeypatch.setattr(stream_state, "run_update", lambda *_: results)
    state = StreamState(RunState(ProfilesState(), REF), lagging={0: 1, 1: 1, 2: 1})
    state, _ = stream_state.update_buckets(context(lake()), state, [0, 1])
    assert dict(state.lagging) == {2: 1}
    assert state.run.profiles.failed == {"01": "bad"}
    assert state.run.profiles.totals == {"00": CUSTOMER}


def test_a_failed_bucket_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    result = BucketResult(7, 0, 0, None, 0, {}, "ComputeError: bad")
    rdd = SimpleNamespace(mapPartitions=lambda _: None)
    cluster = SimpleNamespace(cores=1, context=SimpleNamespace(parallelize=lambda *_: rdd))
    spark = SimpleNamespace(start=lambda: cluster, run=lambda *_: [result])
    run_context: Any = SimpleNamespace(spark=spark, tasks=None)
    with caplog.at_level("WARNING"):
        assert stage.run_update(run_context, [7], task()) == [result]
    assert caplog.messages == ["the profiles of bucket 07 could not be built: ComputeError: bad"]
