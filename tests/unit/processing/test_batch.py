"""One run of `process`: from the topic to profiles, index and dashboards, also after failures."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.kafka.errors import BrokerUnavailableError
from customer_profiles.lake import quality
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.layout import REBUILDING, STATE, commit_name
from customer_profiles.processing.batch import process
from customer_profiles.processing.stages import build_profiles as build_stage
from customer_profiles.processing.state import ProfilesState
from customer_profiles.quality import customers as quality_customers
from customer_profiles.quality import statistics as quality_rows
from customer_profiles.search.errors import IndexUnavailableError
from tests.unit.processing.fakes import BUCKETS, Pipeline, message, user_in

FIRST, SECOND = user_in(0), user_in(1)


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pipeline:
    return Pipeline(monkeypatch, tmp_path)


def produce_events(pipeline: Pipeline) -> None:
    """Produce two events of one customer and one of another, in two partitions."""
    pipeline.topics.produce(
        message(FIRST), message(FIRST, event_type="purchase", price="10.50", user_session="s2")
    )
    pipeline.topics.produce(message(SECOND, brand=None), partition=1)


def test_a_run_makes_profiles_of_all_events(pipeline: Pipeline) -> None:
    produce_events(pipeline)
    report = process(pipeline.context())
    assert (report.events_landed, report.batches, report.invalid_messages) == (3, 1, 0)
    assert (report.profiles_updated, report.profiles_indexed) == (2, 2)
    assert (report.events, report.customers, report.purchases) == (3, 2, 1)
    assert report.revenue == "10.50"
    assert report.index_error is None
    assert set(report.seconds_by_stage) == {
        *("look", "start_spark", "land", "profile", "show", "chart", "finish")
    }
    first = pipeline.assert_index_equals_lake().index.documents()[FIRST]
    assert (first["total_events"], first["total_sessions"], first["total_revenue"]) == (2, 2, 10.5)
    assert set(pipeline.index.documents()) == {FIRST, SECOND}


def test_a_run_counts_events_and_records_itself_for_the_dashboards(pipeline: Pipeline) -> None:
    produce_events(pipeline)
    process(pipeline.context())
    counts = pipeline.metrics_indices.documents["event_metrics"].values()
    by_day = [count for count in counts if count["granularity"] == "day"]
    assert sum(count["events"] for count in by_day) == 3
    assert sum(count["revenue"] for count in by_day) == 10.5
    ((document_id, run),) = pipeline.metrics_indices.documents["pipeline_runs"].items()
    assert document_id == f"process {run['time']}"
    assert (run["kind"], run["events"], run["customers"], run["misfits"]) == ("process", 3, 2, 0)


def test_a_second_run_changes_nothing(pipeline: Pipeline) -> None:
    produce_events(pipeline)
    process(pipeline.context())
    objects = dict(pipeline.store.objects)
    actions = list(pipeline.metrics_indices.actions)
    context: Any = pipeline.context()
    pipeline.store.stop_after(0)
    report = process(context)
    assert (report.batches, report.profiles_updated, report.profiles_indexed) == (0, 0, 0)
    assert (report.customers, report.events) == (2, 3)
    assert pipeline.store.objects == objects
    assert pipeline.metrics_indices.actions == actions
    assert not context.spark.started


def test_only_buckets_with_new_events_are_updated(pipeline: Pipeline) -> None:
    produce_events(pipeline)
    process(pipeline.context())
    third = user_in(0, 1)
    pipeline.topics.produce(message(third))
    report = process(pipeline.context())
    assert (report.profiles_updated, report.profiles_indexed, report.customers) == (1, 1, 3)
    assert pipeline.index.requests[-1][1:] == (2, {third})
    pipeline.assert_index_equals_lake()


def test_an_event_that_was_produced_twice_counts_once(pipeline: Pipeline) -> None:
    pipeline.topics.produce(message(FIRST))
    process(pipeline.context())
    pipeline.topics.produce(message(FIRST), message(FIRST))
    report = process(pipeline.context())
    assert (report.events_landed, report.events, report.customers) == (2, 1, 1)
    counts = pipeline.metrics_indices.documents["event_metrics"].values()
    assert {count["events"] for count in counts} == {1}


def test_many_events_land_in_several_batches(pipeline: Pipeline) -> None:
    pipeline.topics.produce(*(message(user_in(number % BUCKETS, number)) for number in range(6)))
    # Partitions without messages leave their share to the others.
    context: Any = pipeline.context(BATCH_EVENTS="3")
    report = process(context)
    assert (report.batches, report.events_landed, report.customers) == (2, 6, 6)
    assert context.spark.steps == ["micro-batch 1", "micro-batch 2", "profiles"]


def test_spark_is_stopped_after_its_last_job(pipeline: Pipeline) -> None:
    produce_events(pipeline)
    context: Any = pipeline.context()
    process(context)
    # The fake itself fails if a job comes after the stop.
    assert context.spark.steps == ["micro-batch 1", "profiles"]
    assert context.spark.stopped


def test_landing_without_new_events_of_customers_still_commits_the_batch(
    pipeline: Pipeline,
) -> None:
    pipeline.topics.produce(b"not an event")
    report = process(pipeline.context())
    assert (report.batches, report.events_landed, report.invalid_messages) == (1, 0, 1)
    assert report.customers == 0
    assert BatchLog(pipeline.store).last_committed == 1


def test_without_elasticsearch_the_lake_is_complete_and_the_next_run_fills_the_index(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    produce_events(pipeline)
    pipeline.index.unavailable = True
    with caplog.at_level(logging.WARNING):
        report = process(pipeline.context())
    assert "Elasticsearch does not answer; the lake goes on" in caplog.text
    assert report.index_error == "Elasticsearch does not answer.\nRun `make status`."
    assert (report.profiles_updated, report.profiles_indexed, report.customers) == (2, 0, 2)
    assert set(pipeline.lake_profiles()) == {FIRST, SECOND}
    assert ProfilesState.load(pipeline.store).behind == (0, 1)
    assert pipeline.metrics_indices.actions == []

    pipeline.index.unavailable = False
    report = process(pipeline.context())
    assert report.index_error is None
    assert (report.batches, report.profiles_updated, report.profiles_indexed) == (0, 0, 2)
    pipeline.assert_index_equals_lake()
    state = ProfilesState.load(pipeline.store)
    assert (state.behind, state.counted, state.index) == ((), True, pipeline.index.ensure().key)
    assert pipeline.metrics_indices.documents["event_metrics"]


def test_an_index_that_was_full_before_gets_only_what_it_lacks(pipeline: Pipeline) -> None:
    produce_events(pipeline)
    process(pipeline.context())
    pipeline.index.unavailable = True
    pipeline.topics.produce(message(FIRST, event_type="cart"))
    process(pipeline.context())
    pipeline.index.unavailable = False
    del pipeline.index.requests[:]
    assert process(pipeline.context()).profiles_indexed == 1
    assert pipeline.index.requests == [(pipeline.index.ensure().name, 2, {FIRST})]
    pipeline.assert_index_equals_lake()


def test_a_bucket_with_a_refused_document_is_behind_until_the_next_run(
    pipeline: Pipeline,
) -> None:
    produce_events(pipeline)
    pipeline.index.refused_users = {SECOND}
    report = process(pipeline.context())
    assert report.index_error == f"Elasticsearch refused {SECOND}\nSee `make logs`"
    assert (report.profiles_updated, report.profiles_indexed) == (2, 1)
    assert ProfilesState.load(pipeline.store).behind == (1,)
    assert set(pipeline.index.documents()) == {FIRST}

    pipeline.index.refused_users = set()
    report = process(pipeline.context())
    assert (report.index_error, report.profiles_indexed) == (None, 1)
    assert ProfilesState.load(pipeline.store).behind == ()
    pipeline.assert_index_equals_lake()


def test_elasticsearch_that_goes_away_during_a_run_is_caught_up_by_the_next(
    pipeline: Pipeline,
) -> None:
    produce_events(pipeline)
    context: Any = pipeline.context()
    run = context.spark.run

    def run_without_index(rdd: Any, step: str, tasks: int) -> list[Any]:
        pipeline.index.unavailable = step == "profiles"
        return list(run(rdd, step, tasks))

    context.spark.run = run_without_index
    report = process(context)
    assert report.index_error == "Elasticsearch does not answer.\nRun `make status`."
    assert set(pipeline.lake_profiles()) == {FIRST, SECOND}
    assert ProfilesState.load(pipeline.store).behind == (0, 1)
    pipeline.index.unavailable = False
    report = process(pipeline.context())
    assert (report.index_error, report.profiles_indexed) == (None, 2)
    pipeline.assert_index_equals_lake()


@pytest.mark.parametrize("rebuild", [False, True])
def test_an_index_that_goes_away_before_its_refresh_is_part_of_the_report(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, *, rebuild: bool
) -> None:
    produce_events(pipeline)
    process(pipeline.context())

    def refresh(_: object) -> None:
        raise IndexUnavailableError("Elasticsearch does not answer.\nRun `make status`.")

    monkeypatch.setattr(pipeline.index, "refresh", refresh)
    pipeline.topics.produce(message(FIRST, event_type="cart"))
    live = pipeline.index.ensure()
    report = process(pipeline.context(), rebuild=rebuild)
    assert report.index_error == "Elasticsearch does not answer.\nRun `make status`."
    assert report.events_landed == 1
    assert pipeline.index.ensure() == live
    assert (REBUILDING in pipeline.store.objects) == rebuild


def test_an_index_that_was_deleted_is_filled_again(pipeline: Pipeline) -> None:
    produce_events(pipeline)
    process(pipeline.context())
    pipeline.index.delete_live()
    report = process(pipeline.context())
    assert (report.profiles_updated, report.profiles_indexed) == (0, 2)
    pipeline.assert_index_equals_lake()


def test_kafka_that_does_not_answer_ends_the_run(pipeline: Pipeline) -> None:
    pipeline.topics.unavailable = True
    with pytest.raises(BrokerUnavailableError):
        process(pipeline.context())
    assert pipeline.store.objects == {}


def test_a_rebuild_fills_a_new_index_and_promotes_it(pipeline: Pipeline) -> None:
    produce_events(pipeline)
    process(pipeline.context())
    before = pipeline.index.ensure()
    generated = {user: p["profile_generated_at"] for user, p in pipeline.lake_profiles().items()}
    pipeline.topics.produce(message(user_in(2)))
    report = process(pipeline.context(), rebuild=True)
    live = pipeline.index.ensure()
    assert live != before
    assert (report.batches, report.profiles_updated, report.profiles_indexed) == (1, 3, 3)
    pipeline.assert_index_equals_lake()
    for user, profile in pipeline.lake_profiles().items():
        assert profile["profile_generated_at"] != generated.get(user)
    assert REBUILDING not in pipeline.store.objects
    state = ProfilesState.load(pipeline.store)
    assert (state.index, state.behind, state.counted) == (live.key, (), True)
    # `restore-index` can go back to the index before.
    assert set(pipeline.index.stored) == {before.name, live.name}
    kinds = {run["kind"] for run in pipeline.metrics_indices.documents["pipeline_runs"].values()}
    assert kinds == {"process", "rebuild"}


def test_the_progress_of_an_index_goes_when_the_index_is_deleted(pipeline: Pipeline) -> None:
    produce_events(pipeline)
    process(pipeline.context())
    first = pipeline.index.ensure()
    for _ in range(2):
        process(pipeline.context(), rebuild=True)
    kept = set(pipeline.index.stored)
    assert first.name not in kept
    names = pipeline.store.list_sizes("_state/indexed/")
    assert {name.split("/")[2].split(".")[0] for name in names} == kept


def test_a_rebuild_that_lacks_profiles_is_not_promoted(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    produce_events(pipeline)
    process(pipeline.context())
    before = pipeline.index.ensure()
    monkeypatch.setattr(pipeline.index, "count", lambda _: 1)
    with pytest.raises(PipelineError, match="The new index has 1 profiles and the lake 2"):
        process(pipeline.context(), rebuild=True)
    assert pipeline.index.ensure() == before
    assert ProfilesState.load(pipeline.store).index == before.key
    with caplog.at_level(logging.WARNING):
        process(pipeline.context())
    assert "A rebuild did not reach its end" in caplog.text
    assert REBUILDING in pipeline.store.objects


def test_a_rebuild_with_refused_documents_is_not_promoted(pipeline: Pipeline) -> None:
    produce_events(pipeline)
    process(pipeline.context())
    before = pipeline.index.ensure()
    pipeline.index.refused_users = {SECOND}
    report = process(pipeline.context(), rebuild=True)
    assert report.index_error is not None
    assert pipeline.index.ensure() == before
    assert REBUILDING in pipeline.store.objects
    pipeline.index.refused_users = set()
    assert process(pipeline.context(), rebuild=True).index_error is None
    assert pipeline.index.ensure() != before
    assert REBUILDING not in pipeline.store.objects
    pipeline.assert_index_equals_lake()


def test_invalid_messages_become_dead_letters(pipeline: Pipeline) -> None:
    pipeline.topics.produce(b"caf\xe9", message(FIRST), None)
    report = process(pipeline.context())
    assert (report.events_landed, report.invalid_messages) == (1, 2)
    letters = pipeline.topics.letters()
    assert [(letter.source, letter.source_row) for letter in letters] == [
        ("raw_events/0", 0),
        ("raw_events/0", 2),
    ]
    assert letters[0].text == r"caf\xe9"
    (row,) = pipeline.metrics_indices.documents["rejected_rows"].values()
    assert (row["source"], row["reason"], row["rows"]) == ("raw_events/0", "breaks_contract", 2)
    process(pipeline.context())
    assert pipeline.topics.letters() == letters


def test_a_batch_that_is_landed_again_publishes_each_dead_letter_once(
    pipeline: Pipeline,
) -> None:
    pipeline.topics.produce(b"one", message(FIRST), b"two")
    # Everything of the batch is written but its commit.
    pipeline.kill_at(commit_name(1))
    with pytest.raises(InterruptedError):
        process(pipeline.context())
    assert len(pipeline.topics.letters()) == 2
    assert BatchLog(pipeline.store).uncommitted() is not None
    pipeline.kill_at(None)
    report = process(pipeline.context())
    assert (report.events_landed, report.invalid_messages) == (1, 2)
    assert [letter.text for letter in pipeline.topics.letters()] == ["one", "two"]


def quality_statistics(pipeline: Pipeline) -> list[list[tuple[Any, ...]]]:
    """Return the statistics of all events, added up."""
    log = BatchLog(pipeline.store)
    read = quality.read_statistics(
        pipeline.store, log.checkpoint_record.through_batch, log.committed
    )
    assert read.missing == []
    rows = quality_rows.add_up(read.rows)
    assert rows.filter(pl.col("metric") == "rows")["value"].sum() == 3
    people = quality_customers.add_up(quality.read_days(pipeline.store, log.buckets() or 0))
    return [rows.rows(), people.rows()]


@pytest.mark.parametrize(("rebuild", "writes"), [(False, 0), (True, 1)])
def test_a_run_that_was_killed_between_two_writes_is_completed_by_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, writes: int, *, rebuild: bool
) -> None:
    """Every second write is enough: the two cases begin one write apart."""
    pipeline = Pipeline(monkeypatch, tmp_path, buckets=2)
    users = [user_in(bucket, buckets=2) for bucket in range(2)]
    pipeline.topics.produce(message(users[0]))
    process(pipeline.context())
    pipeline.topics.produce(message(users[0], event_type="cart"), b"bad", message(users[1]))
    before = pipeline.snapshot()
    process(pipeline.context(), rebuild=rebuild)
    expected = pipeline.assert_index_equals_lake().result()
    assert len(expected["lake"]) == 2
    statistics = quality_statistics(pipeline)
    while True:
        pipeline.restore(before)
        context = pipeline.context()
        pipeline.store.stop_after(writes)
        try:
            process(context, rebuild=rebuild)
        except InterruptedError:
            pass
        else:
            break
        finally:
            pipeline.store.stop_after(None)
        process(pipeline.context(), rebuild=rebuild)
        assert pipeline.result() == expected, f"killed after {writes} writes"
        assert quality_statistics(pipeline) == statistics, f"killed after {writes} writes"
        pipeline.assert_index_equals_lake()
        state = ProfilesState.load(pipeline.store)
        assert (state.through_batch, state.behind, state.counted) == (2, (), True)
        writes += 2
    # A batch has a plan, events and a commit; each bucket counts, profiles and its progress.
    assert writes > 10


def test_many_batches_are_replaced_by_a_checkpoint(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_stage, "MAX_LOGGED_BATCHES", 2)
    for number in range(3):
        pipeline.topics.produce(message(FIRST, user_session=f"s{number}"))
        process(pipeline.context())
    assert len(BatchLog(pipeline.store)) == 0
    pipeline.topics.produce(message(SECOND))
    report = process(pipeline.context())
    assert (report.batches, report.events, report.customers) == (1, 4, 2)
    pipeline.assert_index_equals_lake()


def test_batches_that_the_index_lacks_stay_in_the_log(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_stage, "MAX_LOGGED_BATCHES", 0)
    pipeline.index.unavailable = True
    produce_events(pipeline)
    process(pipeline.context())
    assert len(BatchLog(pipeline.store)) == 1


def test_event_counts_that_failed_are_made_up_for_by_a_run_without_news(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    produce_events(pipeline)
    pipeline.metrics_indices.sends_left = 0
    with caplog.at_level(logging.WARNING):
        report = process(pipeline.context())
    assert "The dashboards are behind: Elasticsearch stopped answering." in caplog.text
    assert (report.index_error, report.profiles_indexed) == (None, 2)
    assert not ProfilesState.load(pipeline.store).counted
    pipeline.metrics_indices.sends_left = None
    process(pipeline.context())
    assert ProfilesState.load(pipeline.store).counted
    counts = pipeline.metrics_indices.documents["event_metrics"].values()
    assert sum(count["events"] for count in counts if count["granularity"] == "day") == 3


def test_events_of_all_buckets_are_in_the_lake(pipeline: Pipeline) -> None:
    users = [user_in(bucket) for bucket in range(BUCKETS)]
    pipeline.topics.produce(*map(message, users))
    process(pipeline.context())
    for bucket, user_id in enumerate(users):
        name = f"events/bucket={bucket:02d}/batch=000001.parquet"
        events = pl.read_parquet(pipeline.store.objects[name])
        assert events["user_id"].to_list() == [user_id]
        assert events["kafka_offset"].to_list() == [bucket]
    assert STATE in pipeline.store.objects
