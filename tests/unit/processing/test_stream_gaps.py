"""Messages that are removed before a stream reads them, while it follows the topic."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.kafka.errors import BrokerUnavailableError
from customer_profiles.lake.gaps import REDRIVEN
from customer_profiles.processing import stream, stream_gaps
from customer_profiles.processing.batch import process
from customer_profiles.processing.state import Context
from customer_profiles.processing.stream import finish, step
from customer_profiles.processing.stream_state import StreamState
from tests.unit.processing.fakes import Pipeline
from tests.unit.processing.test_stream import start
from tests.unit.processing.test_topic import ingest, row_of, send, spans


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pipeline:
    return Pipeline(monkeypatch, tmp_path)


def sources_of(state: StreamState) -> dict[str, int] | None:
    """Return what the only open gap lacks of each source."""
    (gap,) = state.run.gaps
    return None if gap.sources is None else {one.source: one.missing for one in gap.sources}


def following(pipeline: Pipeline, **environ: str) -> tuple[Context, StreamState]:
    """Follow a topic from which five rows were read."""
    ingest(pipeline, "a.csv", range(5))
    context = pipeline.context(**environ)
    return context, start(context)


def checkpoint_now(context: Context, state: StreamState) -> StreamState:
    """Do a step that makes a checkpoint, as one does every half minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "CHECKPOINT_INTERVAL_S", -1)
        return step(context, state)[0]


def test_a_stream_names_what_was_removed_while_it_followed(
    pipeline: Pipeline, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context, state = following(pipeline)
    assert state.run.gaps == ()
    ingest(pipeline, "b.csv", range(8))
    pipeline.topics.remove(before=11)
    state, batch = step(context, state)
    assert batch is not None
    assert (batch.events, spans(pipeline)) == (2, [(0, 5, 10, False)])
    assert sources_of(state) == {"b.csv": 6}
    assert pipeline.topics.marked_lost == ["b.csv"]
    assert "  b.csv: 6 of its rows are not in the lake" in caplog.messages
    # `make status` prints it while the stream runs.
    assert "b.csv: 6 of its rows" in (tmp_path / "gaps.txt").read_text()
    report = finish(context, state).run
    assert report.gaps == state.run.gaps


def test_a_stream_closes_a_gap_when_its_sources_were_sent_again(
    pipeline: Pipeline, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    context: Any
    context, state = following(pipeline)
    ingest(pipeline, "b.csv", range(8))
    pipeline.topics.redrive("0/9", row_of("b.csv", 9))
    pipeline.topics.remove(before=14)
    state, _ = step(context, state)
    assert sources_of(state) == {"b.csv": 8, REDRIVEN: 1}
    context.spark.steps.clear()
    for _ in range(3):
        state = checkpoint_now(context, state)
    # Nothing was sent again, so nothing is compared.
    assert "sources" not in context.spark.steps
    ingest(pipeline, "b.csv", range(8))
    state = checkpoint_now(context, state)
    assert "sources" not in context.spark.steps
    pipeline.topics.redrive("0/9", row_of("b.csv", 9))
    state = checkpoint_now(context, state)
    state, _ = step(context, state)
    assert state.run.gaps == ()
    assert "the gap in raw_events/0 is filled" in caplog.messages
    assert not (tmp_path / "gaps.txt").exists()
    assert process(pipeline.context()).gaps == []


def test_what_is_still_missing_is_compared_once(pipeline: Pipeline) -> None:
    """Somebody ingested a source again, and lost rows of it again."""
    context: Any
    context, state = following(pipeline)
    ingest(pipeline, "b.csv", range(8))
    pipeline.topics.remove(before=11)
    state, _ = step(context, state)
    pipeline.topics.add_source("b.csv", 8)
    context.spark.steps.clear()
    for _ in range(3):
        state = checkpoint_now(context, state)
        state, _ = step(context, state)
    assert context.spark.steps.count("sources") == 1
    assert sources_of(state) == {"b.csv": 6}


def test_a_gap_is_compared_once_everything_has_landed(pipeline: Pipeline) -> None:
    """What is still in the topic is not missing."""
    context, state = following(pipeline, BATCH_EVENTS="3")
    ingest(pipeline, "b.csv", range(8))
    pipeline.topics.remove(before=7)
    seen = []
    for _ in range(2):
        state, _ = step(context, state)
        seen.append(sources_of(state))
    assert seen == [None, {"b.csv": 2}]


def test_events_that_keep_coming_do_not_put_the_comparison_off(pipeline: Pipeline) -> None:
    context, state = following(pipeline)
    ingest(pipeline, "b.csv", range(8))
    pipeline.topics.remove(before=7)
    pipeline.topics.on_look = lambda: send(pipeline, "live", range(3))
    for _ in range(2):
        state, _ = step(context, state)
    assert sources_of(state) == {"b.csv": 2}


def test_a_batch_without_a_gap_asks_nobody(pipeline: Pipeline) -> None:
    context, state = following(pipeline)
    looks: list[int] = []
    pipeline.topics.on_look = lambda: looks.append(1)
    counts = []
    for _ in range(2):
        send(pipeline, "b.csv", range(2))
        looks.clear()
        with pytest.MonkeyPatch.context() as patch:
            for name in ("read_gaps", "read_sent", "settle_gaps"):
                patch.setattr(stream_gaps, name, forbidden)
            state, _ = step(context, state)
        counts.append(len(looks))
    # One look before the batch, and one for the lag after it.
    assert counts == [2, 2]


def forbidden(*_: object) -> None:
    raise AssertionError("a batch without a gap does not need this")


def test_a_topic_of_which_everything_was_removed_is_looked_at_once(pipeline: Pipeline) -> None:
    context: Any
    context, state = following(pipeline)
    ingest(pipeline, "b.csv", range(3))
    pipeline.topics.remove(before=8)
    state, batch = step(context, state)
    assert batch is None
    assert sources_of(state) == {"b.csv": 3}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_gaps, "read_sent", forbidden)
        state, _ = step(context, state)
    assert sources_of(state) == {"b.csv": 3}


def test_messages_that_are_removed_between_plan_and_reading_are_a_gap_too(
    pipeline: Pipeline,
) -> None:
    context, state = following(pipeline)
    ingest(pipeline, "b.csv", range(8))
    looks: list[int] = []

    def remove() -> None:
        looks.append(1)
        if len(looks) == 1:
            pipeline.topics.remove(before=7)

    pipeline.topics.on_look = remove
    state, _ = step(context, state)
    assert sources_of(state) == {"b.csv": 2}


@pytest.mark.parametrize("name", ["read_sent", "settle_gaps"])
def test_a_failed_comparison_is_made_up_for(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    context, state = following(pipeline)
    ingest(pipeline, "b.csv", range(8))
    pipeline.topics.remove(before=11)
    failing: Callable[..., Any] = away if name == "read_sent" else leave
    with monkeypatch.context() as patch:
        patch.setattr(stream_gaps, name, failing)
        state, batch = step(context, state)
    assert batch is not None
    assert sources_of(state) is None
    state = checkpoint_now(context, state)
    state, _ = step(context, state)
    assert sources_of(state) == {"b.csv": 6}


def away(*_: object) -> None:
    raise BrokerUnavailableError("Kafka does not answer.")


def leave(_: Context, run: Any, *__: object) -> Any:
    """Do what `settle_gaps` does when a server is away."""
    return run


def test_a_stream_that_is_killed_after_it_has_found_a_gap_leaves_its_name_to_the_next_run(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, state = following(pipeline)
    ingest(pipeline, "b.csv", range(8))
    pipeline.topics.remove(before=11)

    def killed(*_: object) -> None:
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(stream_gaps, "read_sent", killed)
        with pytest.raises(InterruptedError):
            step(context, state)
    report = process(pipeline.context())
    assert report.gaps[0]["sources"] == [{"source": "b.csv", "rows": 8, "missing": 6}]


def test_a_topic_that_is_made_anew_ends_a_stream(pipeline: Pipeline) -> None:
    context, state = following(pipeline)
    pipeline.topics.make_anew()
    send(pipeline, "b.csv", range(10))
    with pytest.raises(PipelineError, match="make process NEW_TOPIC=1"):
        step(context, state)
