"""A topic that is not the one of before, messages that are gone, and two runs at once."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import Redriven, encode
from customer_profiles.contracts.progress import NO_TOPIC
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.errors import WriteConflictError
from customer_profiles.lake.gaps import REDRIVEN, read_gaps
from customer_profiles.lake.layout import commit_name, plan_name
from customer_profiles.processing.batch import process
from customer_profiles.processing.stages import plan as plan_stage
from customer_profiles.processing.stages import topic as topic_stage
from tests.unit.processing.fakes import BUCKETS, Pipeline, message, user_in

USERS = [user_in(bucket) for bucket in range(BUCKETS)]


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pipeline:
    return Pipeline(monkeypatch, tmp_path)


def send(pipeline: Pipeline, source: str, rows: range, partition: int = 0) -> None:
    """Send rows of a source, each an event of its own. Row N belongs to customer N of four."""
    pipeline.topics.produce(
        *(
            message(
                USERS[row % BUCKETS],
                source=source,
                source_row=row + 1,
                user_session=f"{source} {row}",
            )
            for row in rows
        ),
        partition=partition,
    )


def ingest(pipeline: Pipeline, source: str, rows: range) -> None:
    """Send rows of a source and note that it was ingested."""
    send(pipeline, source, rows)
    pipeline.topics.add_source(source, len(rows))


def spans(pipeline: Pipeline) -> list[tuple[int, int, int | None, bool]]:
    """Return partition, first and last offset of each gap, and whether it is closed."""
    return [
        (gap.partition, gap.first_offset, gap.last_offset, gap.closed_at is not None)
        for gap in read_gaps(pipeline.store)
    ]


# A topic that was made anew


def test_another_topic_stops_a_run_even_if_it_is_longer(pipeline: Pipeline) -> None:
    ingest(pipeline, "a.csv", range(4))
    process(pipeline.context())
    pipeline.topics.make_anew()
    send(pipeline, "b.csv", range(10))
    before = dict(pipeline.store.objects)
    with pytest.raises(
        PipelineError, match=r"topic-2, and the lake was filled from topic-1"
    ) as info:
        process(pipeline.context())
    assert "make process NEW_TOPIC=1" in str(info.value)
    assert "make clean" not in str(info.value)
    assert pipeline.store.objects == before


def test_a_run_goes_on_with_another_topic_when_it_is_told_to(pipeline: Pipeline) -> None:
    ingest(pipeline, "a.csv", range(4))
    process(pipeline.context())
    pipeline.topics.make_anew()
    # Rows 2 and 3 are in the lake. Events that are sent twice count once.
    ingest(pipeline, "a.csv", range(2, 8))
    report = process(pipeline.context(), accept_new_topic=True)
    assert (report.events_landed, report.events) == (6, 8)
    assert BatchLog(pipeline.store).topic_id() == "topic-2"
    pipeline.assert_index_equals_lake()
    send(pipeline, "c.csv", range(3))
    assert process(pipeline.context()).events_landed == 3


def test_the_change_to_a_topic_that_is_still_empty_is_recorded(pipeline: Pipeline) -> None:
    ingest(pipeline, "a.csv", range(4))
    process(pipeline.context())
    pipeline.topics.make_anew()
    pipeline.topics.add_source("a.csv", 4)
    assert process(pipeline.context(), accept_new_topic=True).gaps == []
    send(pipeline, "b.csv", range(3))
    assert process(pipeline.context()).events_landed == 3


def test_a_shorter_topic_with_the_same_id_stops_a_run(pipeline: Pipeline) -> None:
    """Kafka's data were restored from an older copy."""
    ingest(pipeline, "a.csv", range(4))
    process(pipeline.context())
    pipeline.topics.make_anew()
    pipeline.topics.topic_id = "topic-1"
    send(pipeline, "b.csv", range(3))
    with pytest.raises(PipelineError, match="it ends before the offsets that the lake has"):
        process(pipeline.context())
    assert process(pipeline.context(), accept_new_topic=True).events_landed == 3
    assert process(pipeline.context()).events_landed == 0


def test_a_lake_that_knows_no_id_takes_the_one_that_it_sees(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(pipeline, "a.csv", range(2))
    old: Any = None
    pipeline.topics.topic_id = old
    process(pipeline.context())
    assert "topic_id" not in (pipeline.store.get_json(plan_name(1)) or {})
    pipeline.topics.topic_id = "topic-1"
    send(pipeline, "a.csv", range(2, 4))
    process(pipeline.context())
    assert BatchLog(pipeline.store).topic_id() == "topic-1"


def test_what_the_old_topic_had_and_nobody_read_is_a_gap(pipeline: Pipeline) -> None:
    ingest(pipeline, "a.csv", range(4))
    process(pipeline.context())
    ingest(pipeline, "b.csv", range(6))
    pipeline.topics.make_anew()
    report = process(pipeline.context(), accept_new_topic=True)
    assert report.gaps[0]["sources"] == [{"source": "b.csv", "rows": 6, "missing": 6}]
    assert pipeline.topics.marked_lost == ["b.csv"]
    ingest(pipeline, "b.csv", range(6))
    assert process(pipeline.context()).gaps == []
    assert all(closed for *_, closed in spans(pipeline))


@pytest.mark.parametrize("killed_at", [plan_name(3), commit_name(3), commit_name(2)])
def test_a_run_that_was_killed_while_it_took_another_topic_is_completed(
    pipeline: Pipeline, killed_at: str
) -> None:
    ingest(pipeline, "a.csv", range(4))
    process(pipeline.context())
    # A batch is planned, and its first bucket is written, when the topic goes away.
    ingest(pipeline, "b.csv", range(4))
    pipeline.kill_at("events/bucket=01/batch=000002.parquet")
    with pytest.raises(InterruptedError):
        process(pipeline.context())
    pipeline.kill_at(killed_at)
    pipeline.topics.make_anew()
    ingest(pipeline, "c.csv", range(4))
    with pytest.raises(InterruptedError):
        process(pipeline.context(), accept_new_topic=True)
    pipeline.kill_at(None)
    report = process(pipeline.context(), accept_new_topic=True)
    # The bucket that was written keeps its event of the topic that is gone.
    assert report.events == 9
    assert {"source": "b.csv", "rows": 4, "missing": 3} in report.gaps[0]["sources"]
    pipeline.assert_index_equals_lake()
    ingest(pipeline, "b.csv", range(4))
    report = process(pipeline.context())
    assert (report.events, report.gaps) == (12, [])


# Messages that were removed before they were read


def test_a_run_goes_on_behind_messages_that_were_removed(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    ingest(pipeline, "a.csv", range(5))
    process(pipeline.context())
    ingest(pipeline, "b.csv", range(8))
    ingest(pipeline, "c.csv", range(2))
    pipeline.topics.remove(before=11)
    with caplog.at_level(logging.WARNING):
        report = process(pipeline.context())
    assert "offsets 5 to 10 of raw_events/0 were removed before they were read" in caplog.text
    assert (report.events_landed, report.events) == (4, 9)
    (gap,) = report.gaps
    assert (gap["partition"], gap["first_offset"], gap["last_offset"]) == (0, 5, 10)
    assert gap["sources"] == [{"source": "b.csv", "rows": 8, "missing": 6}]
    # Ingestion sends this source again, and the others not.
    assert pipeline.topics.marked_lost == ["b.csv"]
    # Until then every run says so.
    report = process(pipeline.context())
    assert (report.batches, report.gaps) == (0, [gap])
    ingest(pipeline, "b.csv", range(8))
    report = process(pipeline.context())
    assert (report.events, report.gaps) == (15, [])
    assert spans(pipeline) == [(0, 5, 10, True)]
    assert process(pipeline.context()).gaps == []


def test_a_rebuild_goes_on_too(pipeline: Pipeline) -> None:
    ingest(pipeline, "a.csv", range(5))
    process(pipeline.context())
    ingest(pipeline, "b.csv", range(8))
    pipeline.topics.remove(before=11)
    report = process(pipeline.context(), rebuild=True)
    assert (report.events, len(report.gaps)) == (7, 1)
    pipeline.assert_index_equals_lake()


def test_everything_may_be_gone(pipeline: Pipeline) -> None:
    ingest(pipeline, "a.csv", range(5))
    pipeline.topics.remove(before=5)
    for _ in range(2):
        report = process(pipeline.context())
        assert [gap["last_offset"] for gap in report.gaps] == [4]
        assert report.gaps[0]["sources"] == [{"source": "a.csv", "rows": 5, "missing": 5}]
    assert pipeline.topics.marked_lost == ["a.csv"]
    ingest(pipeline, "a.csv", range(5))
    assert process(pipeline.context()).gaps == []


def test_a_gap_of_one_partition_leaves_the_others_alone(pipeline: Pipeline) -> None:
    send(pipeline, "a.csv", range(4), partition=0)
    send(pipeline, "a.csv", range(4, 8), partition=1)
    pipeline.topics.add_source("a.csv", 8)
    pipeline.topics.remove(before=2, partition=1)
    report = process(pipeline.context())
    assert (report.events, spans(pipeline)) == (6, [(1, 0, 1, False)])


def test_a_gap_that_grows_before_anything_lands_is_one_gap(pipeline: Pipeline) -> None:
    ingest(pipeline, "a.csv", range(8))
    pipeline.topics.remove(before=2)
    pipeline.kill_at(plan_name(1))
    with pytest.raises(InterruptedError):
        process(pipeline.context())
    pipeline.kill_at(None)
    pipeline.topics.remove(before=5)
    report = process(pipeline.context())
    assert spans(pipeline) == [(0, 0, 4, False)]
    assert report.gaps[0]["sources"] == [{"source": "a.csv", "rows": 8, "missing": 5}]


def test_a_gap_without_known_sources_stays_open_until_it_is_accepted(pipeline: Pipeline) -> None:
    send(pipeline, "live", range(4))
    pipeline.topics.remove(before=2)
    assert process(pipeline.context()).gaps[0]["sources"] == []
    assert len(process(pipeline.context()).gaps) == 1
    assert process(pipeline.context(), accept_gaps=True).gaps == []
    assert process(pipeline.context()).gaps == []


def test_a_source_that_is_ingested_during_the_run_is_not_called_incomplete(
    pipeline: Pipeline,
) -> None:
    ingest(pipeline, "a.csv", range(4))
    pipeline.topics.remove(before=2)
    looks = count()

    def look() -> None:
        if next(looks) == 1:
            ingest(pipeline, "b.csv", range(3))

    pipeline.topics.on_look = look
    report = process(pipeline.context())
    assert [source["source"] for source in report.gaps[0]["sources"]] == ["a.csv"]


def row_of(source: str, row: int) -> bytes:
    """Return the event of a row, as `send` sends it."""
    user, session = USERS[row % BUCKETS], f"{source} {row}"
    return message(user, source=source, source_row=row + 1, user_session=session)


def test_redriven_rows_do_not_hide_rows_that_are_missing(pipeline: Pipeline) -> None:
    """Ingestion accepted six rows and rejected two; three of the six were never read."""
    ingest(pipeline, "a.csv", range(6))
    pipeline.topics.remove(before=3)
    for row in (6, 7):
        pipeline.topics.redrive(f"0/{row}", row_of("a.csv", row))
    report = process(pipeline.context())
    assert report.gaps[0]["sources"] == [{"source": "a.csv", "rows": 6, "missing": 3}]
    assert pipeline.topics.marked_lost == ["a.csv"]
    ingest(pipeline, "a.csv", range(6))
    report = process(pipeline.context())
    assert (report.events, report.gaps) == (8, [])


def test_an_event_that_was_redriven_may_be_ingested_too(pipeline: Pipeline) -> None:
    """A corrected file has the redriven row as a row of its own."""
    corrected = row_of("a.csv", 6)
    pipeline.topics.redrive("0/6", corrected)
    event = json.loads(corrected)
    pipeline.topics.produce(encode({**event, "source": "b.csv", "source_row": 1}))
    pipeline.topics.add_source("b.csv", 1)
    ingest(pipeline, "c.csv", range(2))
    pipeline.topics.produce(row_of("d.csv", 0), partition=1)
    pipeline.topics.remove(before=1, partition=1)
    pipeline.topics.add_source("d.csv", 1)
    report = process(pipeline.context())
    assert report.gaps[0]["sources"] == [{"source": "d.csv", "rows": 1, "missing": 1}]


def test_redriven_rows_of_old_records_do_not_hide_missing_ones_either(pipeline: Pipeline) -> None:
    ingest(pipeline, "a.csv", range(6))
    pipeline.topics.remove(before=1)
    pipeline.topics.redrive("0/6", row_of("a.csv", 6))
    old = pipeline.topics.redriven["0/6"]
    pipeline.topics.redriven["0/6"] = Redriven(old.event_id, True, old.replayed_at)
    report = process(pipeline.context())
    assert report.gaps[0]["sources"] == [{"source": "a.csv", "rows": 6, "missing": 1}]


def test_redriven_rows_that_are_lost_are_named_and_their_letters_open_again(
    pipeline: Pipeline,
) -> None:
    ingest(pipeline, "a.csv", range(6))
    for row in (6, 7, 8):
        pipeline.topics.redrive(f"0/{row}", row_of("a.csv", row))
    pipeline.topics.remove(before=8)
    report = process(pipeline.context())
    sources = {source["source"]: source["missing"] for source in report.gaps[0]["sources"]}
    assert sources == {"a.csv": 6, REDRIVEN: 2}
    states = {letter: record.topic_id for letter, record in pipeline.topics.redriven.items()}
    assert states == {"0/6": NO_TOPIC, "0/7": NO_TOPIC, "0/8": "letters-1"}
    # Rows that are redriven for the first time do not stand for them.
    for row in (9, 10):
        pipeline.topics.redrive(f"0/{row}", row_of("a.csv", row))
    ingest(pipeline, "a.csv", range(6))
    report = process(pipeline.context())
    assert report.gaps[0]["sources"] == [{"source": REDRIVEN, "rows": 5, "missing": 2}]
    for row in (6, 7):
        pipeline.topics.redrive(f"0/{row}", row_of("a.csv", row))
    report = process(pipeline.context())
    assert (report.events, report.gaps) == (11, [])


def test_a_row_that_is_redriven_during_the_run_is_not_called_lost(pipeline: Pipeline) -> None:
    ingest(pipeline, "a.csv", range(4))
    pipeline.topics.remove(before=2)
    looks = count()

    def look() -> None:
        if next(looks) == 1:
            pipeline.topics.redrive("0/4", row_of("a.csv", 4))

    pipeline.topics.on_look = look
    report = process(pipeline.context())
    assert [source["source"] for source in report.gaps[0]["sources"]] == ["a.csv"]
    assert pipeline.topics.redriven["0/4"].topic_id == "letters-1"


def kill_while_landing(pipeline: Pipeline) -> None:
    """Let a run die with the second batch planned and one of its four buckets written."""
    pipeline.kill_at("events/bucket=01/batch=000002.parquet")
    with pytest.raises(InterruptedError):
        process(pipeline.context())
    pipeline.kill_at(None)
    assert BatchLog(pipeline.store).uncommitted() is not None


@pytest.mark.parametrize("removed", [1, 3, 4])
def test_a_planned_batch_lands_what_is_still_there(pipeline: Pipeline, removed: int) -> None:
    ingest(pipeline, "a.csv", range(4))
    process(pipeline.context())
    ingest(pipeline, "b.csv", range(4))
    kill_while_landing(pipeline)
    pipeline.topics.remove(before=4 + removed)
    report = process(pipeline.context())
    assert spans(pipeline)[0][:3] == (0, 4, 3 + removed)
    # The event of row 0 was written before its message was removed, and it is kept.
    kept = 4 + 4 - removed + 1
    assert report.events == kept
    pipeline.assert_index_equals_lake()
    if removed == 1:
        assert report.gaps[0]["sources"] == []
    else:
        assert report.gaps[0]["sources"] == [{"source": "b.csv", "rows": 4, "missing": removed - 1}]
        ingest(pipeline, "b.csv", range(4))
        report = process(pipeline.context())
        assert (report.events, report.gaps) == (8, [])


def test_messages_that_are_removed_between_plan_and_reading_do_not_end_the_run(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(pipeline, "a.csv", range(6))
    plan_batch = plan_stage.plan_batch

    def plan_and_remove(*arguments: Any) -> Any:
        planned = plan_batch(*arguments)
        pipeline.topics.remove(before=3)
        return planned

    monkeypatch.setattr("customer_profiles.processing.batch.plan_batch", plan_and_remove)
    report = process(pipeline.context())
    assert (report.events_landed, spans(pipeline)) == (3, [(0, 0, 2, False)])


def test_a_gap_that_cannot_be_compared_is_looked_at_by_the_next_run(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ingest(pipeline, "a.csv", range(4))
    pipeline.topics.remove(before=2)

    def fail(*_: object) -> None:
        raise PipelineError("Kafka did not accept a transaction.\nRun `make status`.")

    with monkeypatch.context() as patch:
        patch.setattr("customer_profiles.processing.stages.gaps.mark_lost", fail)
        report = process(pipeline.context())
    assert "it could not be seen what was lost: Kafka did not accept" in caplog.text
    assert (report.events, report.gaps[0]["sources"]) == (2, None)
    assert process(pipeline.context()).gaps[0]["sources"] is not None


# Two runs at once


def test_a_run_does_not_land_what_another_run_is_landing(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(pipeline, "a.csv", range(4))
    pipeline.kill_at(commit_name(1))
    with pytest.raises(InterruptedError):
        process(pipeline.context())
    pipeline.kill_at(None)
    is_running: list[Any] = []

    def is_other_running(run: Any) -> bool:
        is_running.append(run)
        return len(is_running) == 1

    monkeypatch.setattr(topic_stage, "is_other_running", is_other_running)
    with pytest.raises(WriteConflictError, match=r"Another run, on .* \(process \d+\) since 2"):
        process(pipeline.context())
    assert process(pipeline.context()).events_landed == 4


def test_of_two_runs_that_land_one_batch_the_slower_claims_nothing(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(pipeline, "a.csv", range(4))
    pipeline.kill_at(commit_name(1))
    with pytest.raises(InterruptedError):
        process(pipeline.context())
    pipeline.kill_at(None)
    slower: Any = pipeline.context()
    run: Callable[..., list[Any]] = slower.spark.run

    def overtaken(rdd: Any, step: str, tasks: int) -> list[Any]:
        results = run(rdd, step, tasks)
        if step == "micro-batch 1":
            assert process(pipeline.context()).events_landed == 4
        return results

    slower.spark.run = overtaken
    with pytest.raises(WriteConflictError, match="is landing micro-batch 1"):
        process(slower)
    pipeline.assert_index_equals_lake()
