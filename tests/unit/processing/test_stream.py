"""A stream: the index follows every micro-batch, and the lake's profiles catch up."""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.kafka.errors import BrokerUnavailableError
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.layout import STATE, commit_name, profiles_name
from customer_profiles.processing import patience, stream, stream_state
from customer_profiles.processing.batch import land_all, process, update_profiles
from customer_profiles.processing.report import MicroBatch
from customer_profiles.processing.stages.plan import load_state
from customer_profiles.processing.state import Context, ProfilesState
from customer_profiles.processing.stream import finish, follow, step
from customer_profiles.processing.stream_state import StreamState, checkpoint
from customer_profiles.search.errors import IndexUnavailableError
from tests.unit.processing.fakes import BUCKETS, Pipeline, message, user_in

USERS = [user_in(bucket) for bucket in range(BUCKETS)]
"""One customer of each bucket."""


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pipeline:
    return Pipeline(monkeypatch, tmp_path)


def start(context: Context) -> StreamState:
    """Do what `follow` does before its first micro-batch."""
    run = update_profiles(context, land_all(context, load_state(context, holds_lease=True)))
    context.start_spark(run.live_index)
    return StreamState(run, lagging={}, saved_at=time.monotonic())


def land(pipeline: Pipeline, *buckets: int, **changes: Any) -> None:
    """Produce one event of the customer of each of some buckets."""
    pipeline.topics.produce(*(message(USERS[bucket], **changes) for bucket in buckets))


def step_once(context: Context, state: StreamState) -> tuple[StreamState, MicroBatch]:
    """Do a step that lands a micro-batch."""
    state, batch = step(context, state)
    assert batch is not None
    return state, batch


def refresh_by_itself(pipeline: Pipeline) -> None:
    """Do what Elasticsearch does after `refresh_interval`."""
    pipeline.index.refresh(pipeline.index.ensure())


def reported(tmp_path: Path) -> list[dict[str, Any]]:
    """Return the batches in `stream-latest.json`."""
    batches: list[dict[str, Any]] = json.loads((tmp_path / "stream-latest.json").read_text())[
        "batches"
    ]
    return batches


def test_a_step_without_new_messages_does_nothing(pipeline: Pipeline) -> None:
    context: Any = pipeline.context()
    state = start(context)
    pipeline.store.stop_after(0)
    assert step(context, state) == (state, None)
    assert context.spark.steps == []


def test_a_batch_is_in_the_index_before_it_is_in_the_lake(pipeline: Pipeline) -> None:
    context: Any = pipeline.context()
    state = start(context)
    land(pipeline, 1, 2, 3)
    state, batch = step_once(context, state)
    # One bucket is flushed each second, of 4 in a minute.
    assert context.spark.steps == ["micro-batch 1", "index", "profiles"]
    assert set(pipeline.index.documents()) == {USERS[1], USERS[2], USERS[3]}
    assert set(pipeline.lake_profiles()) == {USERS[1]}
    assert state.lagging == {2: 1, 3: 1}
    assert (batch.batch, batch.events, batch.customers, batch.lagging_buckets) == (1, 3, 3, 2)
    assert (batch.invalid_messages, batch.lag_events, batch.error) == (0, 0, None)
    assert (state.run.batches, state.run.events_landed) == (1, 3)
    assert state.batches == (batch,)


def test_early_documents_equal_those_of_the_lake(pipeline: Pipeline) -> None:
    process(pipeline.context())
    land(pipeline, 0, event_type="purchase", price="12.00")
    process(pipeline.context())
    context = pipeline.context()
    state = start(context)
    land(pipeline, 0, 1, user_session="s2")
    state, _ = step_once(context, state)
    early = dict(pipeline.index.documents())
    assert early[USERS[0]]["total_events"] == 2
    finish(context, state)
    for user_id, profile in pipeline.lake_profiles().items():
        assert {**profile, "profile_generated_at": None} == {
            **early[user_id],
            "profile_generated_at": None,
        }


def test_the_lag_is_measured_from_the_first_message(pipeline: Pipeline) -> None:
    context = pipeline.context()
    state = start(context)
    now_ms = round(time.time() * 1000)
    pipeline.topics.produce(message(USERS[0]), produced_ms=now_ms - 90_000)
    pipeline.topics.produce(message(USERS[1]), produced_ms=now_ms)
    _, batch = step_once(context, state)
    assert batch.lag_seconds is not None
    assert 90 <= batch.lag_seconds < 120


@pytest.mark.parametrize(
    ("ahead_s", "lag_s"), [(200, 0.0), (400, None), (-8 * 86_400, None), (10**12, None)]
)
def test_the_time_of_a_message_that_a_stranger_made_up_is_no_lag(
    pipeline: Pipeline, ahead_s: int, lag_s: float | None
) -> None:
    context = pipeline.context()
    state = start(context)
    produced_ms = round(time.time() * 1000) + 1000 * ahead_s
    pipeline.topics.produce(message(USERS[0]), produced_ms=produced_ms)
    _, batch = step_once(context, state)
    assert batch.lag_seconds == lag_s


def test_a_batch_is_recorded_for_the_dashboards(pipeline: Pipeline) -> None:
    context = pipeline.context()
    state = start(context)
    land(pipeline, 0)
    step_once(context, state)
    run = pipeline.metrics_indices.documents["pipeline_runs"]["stream 1"]
    assert (run["kind"], run["batch"], run["events"], run["customers"]) == ("stream", 1, 1, 1)
    assert "lag_seconds" not in run, "the message is from years ago"


def test_messages_beyond_the_batch_are_waiting(pipeline: Pipeline) -> None:
    context = pipeline.context(BATCH_EVENTS="2")
    state = start(context)
    land(pipeline, 0, 1, 2, 3, 0)
    state, batch = step_once(context, state)
    assert (batch.events, batch.lag_events) == (2, 3)
    _, batch = step_once(context, state)
    assert (batch.events, batch.lag_events) == (2, 1)


def test_a_batch_of_invalid_messages_needs_no_index(pipeline: Pipeline) -> None:
    context: Any = pipeline.context()
    state = start(context)
    pipeline.topics.produce(b"not an event")
    state, batch = step_once(context, state)
    assert (batch.events, batch.invalid_messages, batch.customers) == (0, 1, 0)
    assert context.spark.steps == ["micro-batch 1"]
    assert state.lagging == {}


def test_buckets_are_flushed_in_the_order_in_which_they_wait(pipeline: Pipeline) -> None:
    context = pipeline.context()
    state = start(context)
    land(pipeline, 1, 3)
    state, _ = step_once(context, state)
    assert list(state.lagging.items()) == [(3, 1)]
    land(pipeline, 0, 1, 3, user_session="s2")
    state, _ = step_once(context, state)
    # Bucket 3 has waited since the first batch, although the second one has changed it, too.
    assert list(state.lagging.items()) == [(0, 2), (1, 2)]
    state, _ = step(context, state)
    assert list(state.lagging.items()) == [(1, 2)]
    state, _ = step(context, state)
    assert state.lagging == {}
    assert state.uncounted == {0, 1, 3}
    refresh_by_itself(pipeline)
    pipeline.assert_index_equals_lake()


def test_a_bucket_that_gets_more_events_still_lacks_the_first_batch(pipeline: Pipeline) -> None:
    context = pipeline.context()
    state = start(context)
    land(pipeline, 1, 2, 3)
    state, _ = step_once(context, state)
    land(pipeline, 3, user_session="s2")
    state, _ = step_once(context, state)
    assert state.lagging == {3: 1}
    assert checkpoint(context, state).run.profiles.through_batch == 0


def test_a_slower_stream_flushes_more_buckets_at_a_time(pipeline: Pipeline) -> None:
    context = pipeline.context(STREAM_INTERVAL="30")
    state = start(context)
    land(pipeline, 0, 1, 2, 3)
    state, _ = step_once(context, state)
    assert state.lagging == {2: 1, 3: 1}


def test_a_checkpoint_says_which_batch_all_buckets_include(pipeline: Pipeline) -> None:
    context = pipeline.context()
    state = start(context)
    land(pipeline, 1, 3)
    state, _ = step_once(context, state)
    through = []
    for news in ((0, 1), (), ()):
        checkpoint(context, state)
        through.append(ProfilesState.load(pipeline.store).through_batch)
        land(pipeline, *news, user_session="s2")
        state, _ = step(context, state)
    state = checkpoint(context, state)
    through.append(ProfilesState.load(pipeline.store).through_batch)
    # Lagging are buckets 3 since batch 1, then 0 and 1 since batch 2, then 1, then none.
    assert through == [0, 1, 1, 2]
    saved = ProfilesState.load(pipeline.store)
    assert (saved.index, saved.behind, saved.counted) == (pipeline.index.ensure().key, (), True)
    assert sum(totals["customers"] for totals in saved.totals.values()) == 3
    assert state.uncounted == frozenset()


def test_a_step_makes_a_checkpoint_when_the_last_one_is_old(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    context = pipeline.context()
    state = start(context)
    land(pipeline, 0)
    state, _ = step_once(context, state)
    assert STATE not in pipeline.store.objects
    assert state.uncounted == {0}
    saved_at = time.monotonic() - stream_state.CHECKPOINT_INTERVAL_S - 1
    state, _ = step(context, replace(state, saved_at=saved_at))
    assert state.saved_at > saved_at
    assert ProfilesState.load(pipeline.store).through_batch == 1
    assert state.uncounted == frozenset()
    counts = pipeline.metrics_indices.documents["event_metrics"].values()
    assert {count["events"] for count in counts} == {1}
    assert [batch["batch"] for batch in reported(tmp_path)] == [1]


def test_a_checkpoint_does_not_vouch_for_an_index_that_lacks_buckets(pipeline: Pipeline) -> None:
    land(pipeline, 0)
    pipeline.index.unavailable = True
    context = pipeline.context()
    state = start(context)
    state = checkpoint(context, state)
    saved = ProfilesState.load(pipeline.store)
    assert (saved.index, saved.behind) == (None, (0,))
    assert USERS[0] not in pipeline.index.documents()
    finish(context, state)
    assert ProfilesState.load(pipeline.store).behind == (0,)
    pipeline.index.unavailable = False
    process(pipeline.context())
    pipeline.assert_index_equals_lake()
    assert ProfilesState.load(pipeline.store).behind == ()


def test_a_stream_that_began_without_elasticsearch_indexes_its_backlog(
    pipeline: Pipeline,
) -> None:
    land(pipeline, 0, 2)
    pipeline.index.unavailable = True
    context = pipeline.context()
    state = start(context)
    assert state.run.profiles.behind == (0, 2)
    state, _ = step(context, state)
    assert state.lagging == {}
    pipeline.index.unavailable = False
    land(pipeline, 1, 2, user_session="s2")
    state, _ = step_once(context, state)
    # Bucket 0 has waited longest. Bucket 2 has new events, too.
    assert (state.run.profiles.behind, state.lagging) == ((2,), {2: 2, 1: 2})
    state, _ = step(context, state)
    state, _ = step(context, state)
    assert (state.run.profiles.behind, state.lagging) == ((), {})
    checkpoint(context, state)
    saved = ProfilesState.load(pipeline.store)
    assert (saved.index, saved.behind) == (pipeline.index.ensure().key, ())
    refresh_by_itself(pipeline)
    pipeline.assert_index_equals_lake()
    assert set(pipeline.index.documents()) == {USERS[0], USERS[1], USERS[2]}


def test_a_big_batch_updates_the_lake_and_the_index_together(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    context: Any = pipeline.context()
    state = start(context)
    land(pipeline, 2, 3)
    state, _ = step_once(context, state)
    assert state.lagging == {3: 1}
    monkeypatch.setattr(stream, "MAX_NEWEST_EVENTS", 2)
    land(pipeline, 0, 1, 2, user_session="s2")
    del context.spark.steps[:]
    state, batch = step_once(context, state)
    assert context.spark.steps == ["micro-batch 2", "profiles"]
    # Bucket 3 was lagging, so its customer is updated with this batch.
    assert (batch.events, batch.customers, batch.lagging_buckets) == (3, 4, 0)
    pipeline.assert_index_equals_lake()
    assert len(pipeline.index.documents()) == 4


def test_refused_documents_are_caught_up(pipeline: Pipeline) -> None:
    context = pipeline.context()
    state = start(context)
    pipeline.index.refused_users = {USERS[0]}
    land(pipeline, 0)
    state, batch = step_once(context, state)
    assert batch.error == f"Elasticsearch refused {USERS[0]}\nSee `make logs`"
    assert state.run.live_index is None
    # Without an index, the bucket's profiles are in the lake, and the bucket waits for the index.
    assert set(pipeline.lake_profiles()) == {USERS[0]}
    assert state.lagging == {0: 1}
    pipeline.index.refused_users = set()
    state, _ = step(context, state)
    assert state.run.live_index == pipeline.index.live
    assert (state.run.index_error, state.lagging) == (None, {})
    finish(context, state)
    pipeline.assert_index_equals_lake()


def test_a_stream_goes_on_without_elasticsearch(pipeline: Pipeline) -> None:
    context = pipeline.context()
    state = start(context)
    pipeline.index.unavailable = True
    land(pipeline, 0)
    state, batch = step_once(context, state)
    assert batch.error == "Elasticsearch does not answer.\nRun `make status`."
    land(pipeline, 1)
    state, batch = step_once(context, state)
    assert batch.error == "Elasticsearch does not answer.\nRun `make status`."
    assert (batch.events, batch.customers) == (1, 0)
    state, _ = step(context, state)
    assert set(pipeline.lake_profiles()) == {USERS[0], USERS[1]}
    # The lake has both buckets. They still wait for the index, since the batches that it lacks.
    assert state.lagging == {0: 1, 1: 2}
    assert checkpoint(context, state).run.profiles.through_batch == 0
    pipeline.index.unavailable = False
    for _ in range(2):
        state, _ = step(context, state)
    assert state.lagging == {}
    refresh_by_itself(pipeline)
    pipeline.assert_index_equals_lake()


def test_an_index_that_was_deleted_is_filled_when_the_stream_ends(pipeline: Pipeline) -> None:
    land(pipeline, 0, 1)
    context = pipeline.context()
    state = start(context)
    pipeline.index.delete_live()
    land(pipeline, 2)
    state, batch = step_once(context, state)
    assert batch.error == "There is no index customer_profiles-000001"
    state, _ = step(context, state)
    assert state.run.live_index == pipeline.index.live
    state = checkpoint(context, state)
    # The new index lacks the customers of earlier batches.
    assert ProfilesState.load(pipeline.store).index != pipeline.index.ensure().key
    state = finish(context, state)
    assert set(pipeline.index.documents()) == {USERS[0], USERS[1], USERS[2]}
    pipeline.assert_index_equals_lake()
    assert ProfilesState.load(pipeline.store).index == pipeline.index.ensure().key


def test_the_end_of_a_stream_brings_up_to_date_what_has_landed(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    context = pipeline.context()
    state = start(context)
    land(pipeline, 0, 1, 2)
    state, batch = step_once(context, state)
    land(pipeline, 3)
    state = finish(context, state)
    assert set(pipeline.index.documents()) == {USERS[0], USERS[1], USERS[2]}
    pipeline.assert_index_equals_lake()
    saved = ProfilesState.load(pipeline.store)
    assert (saved.through_batch, saved.behind, saved.counted) == (1, (), True)
    assert (state.run.batches, state.run.events_landed) == (1, 3)
    counts = pipeline.metrics_indices.documents["event_metrics"].values()
    assert sum(count["events"] for count in counts if count["granularity"] == "day") == 3
    assert reported(tmp_path) == [batch.to_json()]
    # What was in no micro-batch yet is for the next run.
    report = process(pipeline.context())
    assert (report.batches, report.profiles_updated, report.profiles_indexed) == (1, 1, 1)


def test_flushed_buckets_are_counted_when_the_stream_ends(pipeline: Pipeline) -> None:
    context = pipeline.context()
    state = start(context)
    land(pipeline, 0)
    state, _ = step_once(context, state)
    assert (state.lagging, state.uncounted) == ({}, {0})
    assert not pipeline.metrics_indices.documents["event_metrics"]
    finish(context, state)
    counts = pipeline.metrics_indices.documents["event_metrics"].values()
    assert {count["events"] for count in counts} == {1}


def test_flushed_buckets_are_visible_when_the_stream_ends(pipeline: Pipeline) -> None:
    context = pipeline.context()
    state = start(context)
    land(pipeline, 0)
    state, _ = step_once(context, state)
    # Nothing is left to do for the end, but the flush came after the refresh of its micro-batch.
    state = checkpoint(context, state)
    assert state.lagging == {}
    finish(context, state)
    pipeline.assert_index_equals_lake()


def test_counts_that_failed_at_a_checkpoint_are_made_up_for_at_the_end(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    context = pipeline.context()
    state = start(context)
    land(pipeline, 0)
    state, _ = step_once(context, state)
    pipeline.metrics_indices.sends_left = 0
    state = checkpoint(context, state)
    assert "The dashboards are behind" in caplog.text
    assert not pipeline.metrics_indices.documents["event_metrics"]
    pipeline.metrics_indices.sends_left = None
    finish(context, state)
    counts = pipeline.metrics_indices.documents["event_metrics"].values()
    assert {count["events"] for count in counts} == {1}


@pytest.mark.parametrize("killed_at", [commit_name(2), profiles_name(2), STATE])
def test_a_stream_that_was_killed_is_completed_by_a_run(pipeline: Pipeline, killed_at: str) -> None:
    context = pipeline.context()
    state = start(context)
    land(pipeline, 0, 1)
    state, _ = step_once(context, state)
    state = checkpoint(context, state)
    land(pipeline, 1, 2, 3, user_session="s2")

    def go_on(state: StreamState) -> None:
        for _ in range(4):
            state, _ = step(context, replace(state, saved_at=-stream_state.CHECKPOINT_INTERVAL_S))

    pipeline.kill_at(killed_at)
    with pytest.raises(InterruptedError):
        go_on(state)
    pipeline.kill_at(None)
    report = process(pipeline.context())
    assert (report.events, report.customers) == (5, 4)
    pipeline.assert_index_equals_lake()
    assert ProfilesState.load(pipeline.store).through_batch == 2


def test_the_report_keeps_the_last_batches(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(stream, "REPORTED_BATCHES", 2)
    context = pipeline.context()
    state = start(context)
    for number in range(3):
        land(pipeline, 0, user_session=f"s{number}")
        state, _ = step_once(context, state)
    checkpoint(context, state)
    assert [batch["batch"] for batch in reported(tmp_path)] == [2, 3]


def test_a_stream_follows_until_it_is_told_to_stop(pipeline: Pipeline) -> None:
    land(pipeline, 0)
    stop = threading.Event()
    calls: list[str] = []

    def on_ready() -> None:
        # The backlog is done.
        pipeline.assert_index_equals_lake()
        assert set(pipeline.index.documents()) == {USERS[0]}
        calls.append("ready")
        land(pipeline, 1)

    def on_batch(batch: MicroBatch) -> None:
        calls.append(f"batch {batch.batch}")
        if batch.batch == 2:
            land(pipeline, 2)
        else:
            stop.set()

    report = follow(
        pipeline.context(STREAM_INTERVAL="0.001"),
        holds_lease=lambda: True,
        stop=stop,
        on_ready=on_ready,
        on_batch=on_batch,
    )
    assert calls == ["ready", "batch 2", "batch 3"]
    assert (report.batches, report.events_landed, report.customers) == (3, 3, 3)
    assert report.index_error is None
    pipeline.assert_index_equals_lake()


def test_a_stream_that_is_stopped_in_its_backlog_ends_in_order(pipeline: Pipeline) -> None:
    land(pipeline, 0, 1, 2)
    stop = threading.Event()
    context: Any = pipeline.context(BATCH_EVENTS="1")
    run = context.spark.run

    def stop_during(rdd: Any, step: str, tasks: int) -> list[Any]:
        if step == "micro-batch 2":
            stop.set()
        return list(run(rdd, step, tasks))

    context.spark.run = stop_during
    calls: list[str] = []
    report = follow(
        context,
        holds_lease=lambda: True,
        stop=stop,
        on_ready=lambda: calls.append("ready"),
        on_batch=lambda _: calls.append("batch"),
    )
    # What has landed is in the profiles, and the next run does the rest.
    assert (report.batches, report.events, calls) == (2, 2, [])
    pipeline.assert_index_equals_lake()
    assert process(pipeline.context()).events == 3


def test_a_stream_that_is_stopped_before_it_begins_starts_nothing(pipeline: Pipeline) -> None:
    land(pipeline, 0, 1)
    stop = threading.Event()
    stop.set()
    context: Any = pipeline.context()
    report = follow(
        context,
        holds_lease=lambda: True,
        stop=stop,
        on_ready=lambda: None,
        on_batch=lambda _: None,
    )
    assert (report.batches, report.events) == (0, 0)
    assert not context.spark.started


def keep_producing(pipeline: Pipeline) -> None:
    """Let an event come whenever somebody looks at the topic."""
    numbers = count()
    pipeline.topics.on_look = lambda: land(pipeline, 0, 1, user_session=f"n{next(numbers)}")


def test_a_run_ends_while_events_keep_coming(pipeline: Pipeline) -> None:
    land(pipeline, 0, 1, 2, 3)
    keep_producing(pipeline)
    report = process(pipeline.context())
    # What came after the one look at the topic is for the next run.
    assert (report.batches, report.events_landed, report.events) == (1, 4, 4)
    pipeline.assert_index_equals_lake()
    assert process(pipeline.context()).batches == 1


def test_a_stream_follows_and_ends_while_events_keep_coming(pipeline: Pipeline) -> None:
    land(pipeline, 0, 1, 2, 3)
    keep_producing(pipeline)
    stop = threading.Event()
    calls: list[str] = []

    def on_batch(batch: MicroBatch) -> None:
        calls.append(f"batch {batch.batch}")
        if batch.batch == 3:
            stop.set()

    report = follow(
        pipeline.context(STREAM_INTERVAL="0.001"),
        holds_lease=lambda: True,
        stop=stop,
        on_ready=lambda: calls.append("ready"),
        on_batch=on_batch,
    )
    assert calls == ["ready", "batch 2", "batch 3"]
    assert (report.batches, report.index_error) == (3, None)
    assert report.events == report.events_landed
    pipeline.assert_index_equals_lake()


def test_a_stream_outlives_a_restart_of_kafka(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.001)
    land(pipeline, 0)
    stop = threading.Event()
    context: Any = pipeline.context(STREAM_INTERVAL="0.001")
    run = context.spark.run
    failures = iter(range(3))

    def run_without_kafka(rdd: Any, step: str, tasks: int) -> list[Any]:
        # Tasks fail, too, and the batch that they were to land is planned by then.
        if step == "micro-batch 2" and next(failures, None) is not None:
            raise BrokerUnavailableError("Kafka sent nothing for 15 s.\nRun `make status`.")
        return list(run(rdd, step, tasks))

    context.spark.run = run_without_kafka
    report = follow(
        context,
        holds_lease=lambda: True,
        stop=stop,
        on_ready=lambda: land(pipeline, 1),
        on_batch=lambda _: stop.set(),
    )
    assert (report.batches, report.events) == (2, 2)
    waits = [record.getMessage() for record in caplog.records if record.name.endswith("outages")]
    assert waits == [
        "Kafka sent nothing for 15 s. The stream waits for it.",
        "Kafka is back after 0 s; the stream goes on",
    ]
    pipeline.assert_index_equals_lake()


def test_ctrl_c_ends_a_stream_in_order_while_kafka_is_away(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.001)
    stop = threading.Event()

    def on_batch(_: MicroBatch) -> None:
        pipeline.topics.unavailable = True
        threading.Timer(0.05, stop.set).start()

    report = follow(
        pipeline.context(STREAM_INTERVAL="0.001"),
        holds_lease=lambda: True,
        stop=stop,
        on_ready=lambda: land(pipeline, *range(BUCKETS)),
        on_batch=on_batch,
    )
    assert (report.batches, report.events) == (1, BUCKETS)
    pipeline.assert_index_equals_lake()


def test_an_index_that_goes_away_before_its_refresh_does_not_end_a_stream(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = pipeline.context()
    state = start(context)

    def refresh(_: object) -> None:
        raise IndexUnavailableError("Elasticsearch does not answer.\nRun `make status`.")

    land(pipeline, 0)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.index, "refresh", refresh)
        state, batch = step_once(context, state)
    assert batch.error == "Elasticsearch does not answer.\nRun `make status`."
    land(pipeline, 0, user_session="s2")
    state, batch = step_once(context, state)
    assert batch.error is None
    refresh_by_itself(pipeline)
    pipeline.assert_index_equals_lake()


def test_a_stream_reports_gaps_at_its_end(pipeline: Pipeline) -> None:
    land(pipeline, 0, 1)
    pipeline.topics.remove(before=1)
    stop = threading.Event()
    report = follow(
        pipeline.context(STREAM_INTERVAL="0.001"),
        holds_lease=lambda: True,
        stop=stop,
        on_ready=stop.set,
        on_batch=lambda _: None,
    )
    assert [(gap["first_offset"], gap["last_offset"]) for gap in report.gaps] == [(0, 0)]


def test_a_stream_that_lost_its_lease_stops(pipeline: Pipeline) -> None:
    stop = threading.Event()
    lost = threading.Event()

    def on_batch(batch: MicroBatch) -> None:
        land(pipeline, 1)
        lost.set()

    with pytest.raises(PipelineError, match="Another stream has taken over"):
        follow(
            pipeline.context(STREAM_INTERVAL="0.001"),
            holds_lease=lambda: not lost.is_set(),
            stop=stop,
            on_ready=lambda: land(pipeline, 0),
            on_batch=on_batch,
        )
    # A stream that is no longer the only one lands and finishes nothing.
    assert BatchLog(pipeline.store).last_committed == 1
    assert STATE not in pipeline.store.objects
    report = process(pipeline.context())
    assert (report.events, report.customers) == (2, 2)


def test_a_stream_that_is_killed_before_it_counts_leaves_that_to_the_next_run(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = pipeline.context()
    state = start(context)
    land(pipeline, 0, 1)
    state, _ = step_once(context, state)
    assert state.uncounted

    def kill(*_: object) -> None:
        raise InterruptedError

    monkeypatch.setattr(stream_state, "count_events", kill)
    with pytest.raises(InterruptedError):
        checkpoint(context, state)
    assert not ProfilesState.load(pipeline.store).counted
