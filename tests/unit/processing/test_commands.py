"""The commands that process: what they print, what they return and how Ctrl-C ends a stream."""

from __future__ import annotations

import io
import json
import logging
import signal
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
from pyspark.errors import PySparkRuntimeError
from rich.console import Console

from customer_profiles.common.errors import DegradedError, PipelineError
from customer_profiles.common.run_record import read_history
from customer_profiles.lake.layout import REBUILDING, STATE
from customer_profiles.processing import commands
from customer_profiles.processing.commands import run_command
from customer_profiles.processing.report import MicroBatch
from customer_profiles.processing.settings import Settings
from customer_profiles.processing.state import Context
from customer_profiles.search.errors import IndexUnavailableError
from tests.unit.processing.fakes import BUCKETS, FakeSpark, Pipeline, message, user_in

USERS = [user_in(bucket) for bucket in range(BUCKETS)]


class CommandLine:
    """Runs commands on fakes, and keeps what they print."""

    def __init__(self, pipeline: Pipeline, reports: Path) -> None:
        self.pipeline = pipeline
        self.reports = reports
        self.environ = {**pipeline.environ, "STREAM_INTERVAL": "0.001"}
        self.holds_lease = True
        self.leases: list[str] = []
        self.file = io.StringIO()

    def run(self, command: str, *, brief: bool = False, **options: bool) -> int:
        console = Console(file=self.file, width=200, color_system=None)
        no_jvm: Any = None
        arguments = Namespace(command=command, brief=brief, **options)
        return run_command(arguments, Settings.from_env(self.environ), console, no_jvm)

    @property
    def printed(self) -> str:
        return self.file.getvalue()

    def report(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.reports / "process-latest.json").read_text())
        return content

    @contextmanager
    def hold_lease(self, *_: object) -> Iterator[Any]:
        self.leases.append("acquired")
        yield lambda: self.holds_lease
        self.leases.append("released")


class FakeSession(FakeSpark):
    """Takes the arguments of `SparkSession`, and is a context manager as it is."""

    def __init__(self, *_: object) -> None:
        super().__init__()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped = True


@pytest.fixture
def commands_on_fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CommandLine]:
    pipeline = Pipeline(monkeypatch, tmp_path)
    command_line = CommandLine(pipeline, tmp_path)
    monkeypatch.setattr(commands, "S3ObjectStore", lambda _: pipeline.store)
    monkeypatch.setattr(commands, "SparkSession", FakeSession)
    monkeypatch.setattr(commands, "hold_lease", command_line.hold_lease)
    monkeypatch.setattr(
        Context, "open", lambda *_: pipeline.context(STREAM_INTERVAL="0.001"), raising=True
    )
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield command_line
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_run_prints_its_numbers_the_summary_and_the_report(
    commands_on_fakes: CommandLine,
) -> None:
    commands_on_fakes.pipeline.topics.produce(message(USERS[0]), message(USERS[1]))
    assert commands_on_fakes.run("process") == 0
    printed = commands_on_fakes.printed
    assert "2 events landed, 2 profiles updated, 2 indexed" in printed
    assert "Casual Visitor" in printed
    assert f"Report: {commands_on_fakes.reports}/process-latest.json" in printed
    assert commands_on_fakes.report()["customers"] == 2


def test_a_brief_run_leaves_the_summary_out(commands_on_fakes: CommandLine) -> None:
    commands_on_fakes.pipeline.topics.produce(message(USERS[0]))
    assert commands_on_fakes.run("process", brief=True) == 0
    assert "1 events landed" in commands_on_fakes.printed
    assert "Casual Visitor" not in commands_on_fakes.printed


def test_a_run_with_nothing_new_says_so(commands_on_fakes: CommandLine) -> None:
    commands_on_fakes.pipeline.topics.produce(message(USERS[0]))
    commands_on_fakes.run("process")
    commands_on_fakes.file = io.StringIO()
    assert commands_on_fakes.run("process") == 0
    assert "Nothing new: 1 profiles are up to date (" in commands_on_fakes.printed
    assert "Report:" not in commands_on_fakes.printed


def test_rebuild_is_the_command_that_makes_a_new_index(commands_on_fakes: CommandLine) -> None:
    commands_on_fakes.pipeline.topics.produce(message(USERS[0]))
    commands_on_fakes.run("process")
    before = commands_on_fakes.pipeline.index.live
    commands_on_fakes.run("process")
    assert commands_on_fakes.pipeline.index.live == before
    assert commands_on_fakes.run("rebuild") == 0
    assert commands_on_fakes.pipeline.index.live != before


def test_customers_with_rules_of_another_version_are_named(
    commands_on_fakes: CommandLine,
) -> None:
    commands_on_fakes.pipeline.topics.produce(message(USERS[0]))
    commands_on_fakes.run("process")
    assert "another version" not in commands_on_fakes.printed
    stored = commands_on_fakes.pipeline.store.get_json(STATE)
    assert stored is not None
    stored["buckets"]["00"]["segments_versions"] = {"7": 1}
    commands_on_fakes.pipeline.store.put_json(STATE, stored)
    commands_on_fakes.run("process")
    assert "1 customers have the segment of another version" in commands_on_fakes.printed
    assert "`make rebuild` gives all of them the new one" in commands_on_fakes.printed


def test_an_index_that_is_behind_is_an_error_after_the_report(
    commands_on_fakes: CommandLine,
) -> None:
    commands_on_fakes.pipeline.topics.produce(message(USERS[0]))
    commands_on_fakes.pipeline.index.unavailable = True
    with pytest.raises(PipelineError, match="Elasticsearch does not answer"):
        commands_on_fakes.run("process")
    assert commands_on_fakes.report()["customers"] == 1
    assert "1 profiles updated, 0 indexed" in commands_on_fakes.printed


def test_a_gap_is_told_until_it_is_closed(commands_on_fakes: CommandLine) -> None:
    topics = commands_on_fakes.pipeline.topics
    topics.produce(*(message(user, source="a [b].csv", source_row=1) for user in USERS))
    topics.add_source("a [b].csv", 4)
    topics.remove(before=2)
    note = commands_on_fakes.reports / "gaps.txt"
    for _ in range(2):
        commands_on_fakes.file = io.StringIO()
        # The run does its work, so it succeeds.
        assert commands_on_fakes.run("process") == 0
        printed = commands_on_fakes.printed
        assert "  offsets 0 to 1 of partition 0, found 2" in printed
        assert "  a [b].csv: 2 of its rows are not in the lake" in printed
        assert "`make ingest` of these sources sends them again" in printed
        assert note.read_text() in printed
        assert len(commands_on_fakes.report()["gaps"]) == 1
    # Unknown sources need another advice, and a person may give them up.
    assert commands_on_fakes.run("process", accept_gaps=True) == 0
    assert commands_on_fakes.report()["gaps"] == []
    assert not note.exists()


def test_another_topic_needs_a_word(commands_on_fakes: CommandLine) -> None:
    topics = commands_on_fakes.pipeline.topics
    topics.produce(message(USERS[0]))
    commands_on_fakes.run("process")
    topics.make_anew()
    topics.produce(message(USERS[1]), message(USERS[2]))
    with pytest.raises(PipelineError, match="make process NEW_TOPIC=1"):
        commands_on_fakes.run("process")
    assert commands_on_fakes.run("process", new_topic=True) == 0
    assert commands_on_fakes.report()["customers"] == 3


def test_an_error_of_pyspark_names_the_next_action(
    commands_on_fakes: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PySparkRuntimeError("the broadcast is gone")

    monkeypatch.setattr(commands, "process", fail)
    with pytest.raises(PipelineError, match=r"(?s)Spark gave up.*the broadcast is gone.*make stat"):
        commands_on_fakes.run("process")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_stream_in_order(
    commands_on_fakes: CommandLine, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    pipeline = commands_on_fakes.pipeline
    pipeline.topics.produce(message(USERS[0]))
    follow = commands.follow

    def follow_and_stop(*args: Any, **callbacks: Any) -> Any:
        def on_ready() -> None:
            callbacks["on_ready"]()
            pipeline.topics.produce(*map(message, USERS[1:]))

        def on_batch(batch: MicroBatch) -> None:
            callbacks["on_batch"](batch)
            signal.raise_signal(number)

        return follow(*args, **{**callbacks, "on_ready": on_ready, "on_batch": on_batch})

    monkeypatch.setattr(commands, "follow", follow_and_stop)
    assert commands_on_fakes.run("stream") == 0
    assert "Ended. 4 events in 2 micro-batches; 4 profiles are up to date." in (
        commands_on_fakes.printed
    )
    assert commands_on_fakes.leases == ["acquired", "released"]
    assert commands_on_fakes.report()["events"] == 4
    pipeline.assert_index_equals_lake()


def test_a_second_signal_ends_a_stream_at_once(caplog: pytest.LogCaptureFixture) -> None:
    stop = threading.Event()
    with caplog.at_level(logging.INFO):
        commands._stop_stream(stop, signal.SIGINT, None)
    assert stop.is_set()
    assert "ending after this micro-batch" in caplog.text
    with pytest.raises(KeyboardInterrupt):
        commands._stop_stream(stop, signal.SIGINT, None)


def test_progress_is_shown_before_and_after_a_stream_follows() -> None:
    following, stop = threading.Event(), threading.Event()
    shown: list[str] = []
    progress = commands._quiet_after(following, stop, lambda step, *_: shown.append(step))
    progress("backlog", 0, 1)
    following.set()
    progress("micro-batch", 0, 1)
    stop.set()
    progress("the end", 0, 1)
    assert shown == ["backlog", "the end"]


def batch(number: int, error: str | None = None) -> MicroBatch:
    time = "2020-09-24T11:57:06.000+00:00"
    return MicroBatch(number, time, 1_000, 0, 5, 0.5, {}, 0, 1.0, 0, error)


def test_a_terminal_shows_every_micro_batch() -> None:
    file = io.StringIO()
    console = Console(file=file, width=200, color_system=None, force_terminal=True)
    display = commands._StreamDisplay(console)
    for number in (1, 2):
        display.show(batch(number))
    assert [line.split(":")[2] for line in file.getvalue().splitlines()] == [
        "06  batch 1",
        "06  batch 2",
    ]


def test_elsewhere_a_line_now_and_then_sums_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(commands, "time", SimpleNamespace(monotonic=lambda: now))
    file = io.StringIO()
    display = commands._StreamDisplay(Console(file=file, width=200, color_system=None))
    for number in (1, 2):
        display.show(batch(number))
    assert file.getvalue() == ""
    now += commands.LOG_EVERY_S + 1
    display.show(batch(3))
    display.show(batch(4))
    (line,) = file.getvalue().splitlines()
    assert "batch 3: 1,000 events" in line
    assert line.endswith("; 3,000 events in 3 batches so far")


def test_a_failed_run_replaces_the_report_and_keeps_the_history(
    commands_on_fakes: CommandLine,
) -> None:
    commands_on_fakes.pipeline.topics.produce(message(USERS[0]))
    commands_on_fakes.run("process")
    assert commands_on_fakes.report()["status"] == "ok"
    commands_on_fakes.pipeline.topics.unavailable = True
    with pytest.raises(PipelineError):
        commands_on_fakes.run("process")
    report = commands_on_fakes.report()
    assert (report["command"], report["status"], report["exit_code"]) == ("process", "failed", 1)
    assert report["error"]
    assert report["started_at"] <= report["finished_at"]
    history = read_history(commands_on_fakes.reports, "process")
    assert [entry["status"] for entry in history] == ["ok", "failed"]
    assert len({entry["run_id"] for entry in history}) == 2


def test_an_index_that_is_behind_degrades_a_run(commands_on_fakes: CommandLine) -> None:
    commands_on_fakes.pipeline.topics.produce(message(USERS[0]))
    commands_on_fakes.pipeline.index.unavailable = True
    with pytest.raises(DegradedError) as failure:
        commands_on_fakes.run("process")
    assert failure.value.exit_code == 3
    report = commands_on_fakes.report()
    assert (report["status"], report["exit_code"]) == ("degraded", 3)
    assert report["degraded"] == ["index_behind"]
    assert "1 events landed" in commands_on_fakes.printed


def test_dashboards_that_are_behind_and_an_unfinished_rebuild_degrade_a_run(
    commands_on_fakes: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise IndexUnavailableError("Elasticsearch does not answer.")

    pipeline = commands_on_fakes.pipeline
    pipeline.topics.produce(message(USERS[0]))
    pipeline.store.put_json(REBUILDING, {"since": "then"})
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.metrics_indices, "ensure", away)
        assert commands_on_fakes.run("process") == 3
    assert commands_on_fakes.report()["degraded"] == ["dashboards_behind", "rebuild_unfinished"]
    assert commands_on_fakes.run("rebuild") == 0
    assert commands_on_fakes.report()["status"] == "ok"


def test_what_was_done_is_shown_though_the_report_cannot_be_written(
    commands_on_fakes: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    commands_on_fakes.pipeline.topics.produce(message(USERS[0]))
    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(PipelineError, match=r"has done its work, but its report .* No space"):
        commands_on_fakes.run("process")
    assert "1 events landed" in commands_on_fakes.printed
    assert "Casual Visitor" in commands_on_fakes.printed
