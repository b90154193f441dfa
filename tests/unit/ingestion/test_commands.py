"""Workflows of the commands, with a broker in memory."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message

from customer_profiles.common.console import PlainConsole
from customer_profiles.common.errors import PipelineError
from customer_profiles.common.run_record import read_history
from customer_profiles.contracts import Topic
from customer_profiles.ingestion import (
    commands,
    dead_letter_commands,
    dead_letters,
    progress,
    sources,
)
from customer_profiles.ingestion.commands import Pace
from customer_profiles.ingestion.dead_letters import Selection
from customer_profiles.ingestion.settings import Settings
from customer_profiles.ingestion.sources import SentTo
from customer_profiles.kafka.source_records import NO_TOPIC
from tests.support import HEADER, line
from tests.unit.ingestion.memory_broker import MemoryBroker, stored_pairs

GOOD = [line(user_id=str(number)) for number in range(1, 20)]
REJECTED = [line(user_id="1", user_session=""), line(user_id="2", price="free")]

OF_EVERY_RUN = [
    "command", "run_id", "status", "exit_code", "error", "started_at", "finished_at", "host", "pid",
]  # fmt: skip
"""Fields of every report."""


def encoded(text: str | bytes | None) -> bytes | None:
    return text.encode() if isinstance(text, str) else text


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> MemoryBroker:
    """A broker in place of Kafka, for every module that talks to Kafka."""
    broker = MemoryBroker()

    def read_topic(config: object, topic: Topic, **options: Any) -> Iterator[Message]:
        pairs = broker.topics.get(topic.name, [])
        return iter(stored_pairs((encoded(key), encoded(value)) for key, value in pairs))

    for module in (dead_letter_commands, dead_letters, progress):
        monkeypatch.setattr(module, "read_topic", read_topic)
    monkeypatch.setattr(dead_letters, "topic_id", lambda *_: broker.letters_topic)
    for module in (commands, dead_letter_commands, sources):
        monkeypatch.setattr(module, "create_publisher", lambda *_: broker)
    for module in (commands, dead_letter_commands):
        monkeypatch.setattr(module, "ensure_topics", lambda _: None)
    monkeypatch.setattr(
        sources,
        "current_topic",
        lambda *_: SentTo(broker.topic_id, len(broker.topics.get("raw_events", []))),
    )
    return broker


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_env({"REPORTS": str(tmp_path), "MAX_REJECTED_PERCENT": "20"})


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.csv"
    path.write_text("\n".join([HEADER, *GOOD, *REJECTED, GOOD[0], ""]))
    return path


Run = Callable[..., str]


@pytest.fixture
def run(
    broker: MemoryBroker, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run a workflow and return what it prints."""

    def call(workflow: Callable[..., int], *arguments: Any) -> str:
        assert workflow(*arguments, settings, PlainConsole()) == 0
        return capsys.readouterr().out

    return call


def report(settings: Settings, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((settings.reports / name).read_text())
    return content


def test_an_ingestion_prints_its_counts_and_writes_its_report(
    run: Run, broker: MemoryBroker, settings: Settings, events: Path
) -> None:
    printed = run(commands.run_ingest, str(events)).splitlines()
    assert printed[0] == f"Ingesting {events} as events.csv into 127.0.0.1:9092"
    assert printed[1].startswith("22 rows read = 19 accepted + 2 dead-lettered + 1 duplicates, in ")
    assert printed[2:4] == ["          1  user_session_missing", "          1  price_invalid"]
    assert printed[4] == f"Report: {settings.reports}/ingest-latest.json. Next: make process"
    assert list(report(settings, "ingest-latest.json")) == [
        "file", "source", "read", "accepted", "dead_lettered", "duplicates", "already_ingested",
        "already_ingested_at", "completed_line", "reasons", "normalised", "invalid_records",
        "seconds", "events_per_second",
        "stages", "peak_memory_mb", *OF_EVERY_RUN,
    ]  # fmt: skip
    assert len(broker.topics["raw_events"]) == 19


def test_the_same_file_again_says_that_there_is_nothing_new(run: Run, events: Path) -> None:
    run(commands.run_ingest, str(events))
    printed = run(commands.run_ingest, str(events))
    assert "22 rows are in since " in printed
    assert "Nothing new: all 22 rows were in already; nothing was sent." in printed


@pytest.mark.parametrize("renamed", [False, True])
def test_a_file_is_sent_again_to_a_topic_that_was_made_anew(
    run: Run, broker: MemoryBroker, events: Path, *, renamed: bool
) -> None:
    run(commands.run_ingest, str(events))
    broker.topic_id = "topic-2"
    sent = broker.topics.pop("raw_events")
    if renamed:
        events = events.rename(events.with_name("renamed.csv"))
    printed = run(commands.run_ingest, str(events))
    # The source keeps its name, so that its rows keep theirs.
    assert f"Ingesting {events} as events.csv into" in printed
    assert (
        "22 rows were sent before, and their events are not all in raw_events any more" in printed
    )
    assert broker.topics["raw_events"] == sent
    assert "Nothing new" in run(commands.run_ingest, str(events))


def test_a_file_whose_messages_were_lost_is_sent_again(
    run: Run, broker: MemoryBroker, events: Path
) -> None:
    run(commands.run_ingest, str(events))
    ((key, value),) = broker.topics["ingest_progress"]
    lost = json.dumps({**json.loads(value), "topic_id": NO_TOPIC})
    broker.topics["ingest_progress"].append((key, lost))
    assert "sending all of them again" in run(commands.run_ingest, str(events))
    assert len(broker.topics["raw_events"]) == 2 * 19
    assert "Nothing new" in run(commands.run_ingest, str(events))


@pytest.mark.parametrize(("kept", "again"), [(19, False), (18, True)])
def test_a_record_of_an_old_version_does_not_fit_a_topic_that_is_too_short(
    run: Run, broker: MemoryBroker, events: Path, kept: int, *, again: bool
) -> None:
    run(commands.run_ingest, str(events))
    ((key, value),) = broker.topics["ingest_progress"]
    old = json.loads(value)
    del old["topic_id"]
    broker.topics["ingest_progress"] = [(key, json.dumps(old))]
    del broker.topics["raw_events"][kept:]
    assert ("sending all of them again" in run(commands.run_ingest, str(events))) == again


def test_a_name_that_another_source_has_is_said(run: Run, events: Path) -> None:
    run(commands.run_ingest, str(events))
    events.write_text("\n".join([HEADER, *GOOD[1:], ""]))
    printed = run(commands.run_ingest, str(events))
    assert f"Ingesting {events} as events.csv#2" in printed
    assert "this is a new source, events.csv#2" in printed


def test_a_redrive_sends_what_was_corrected_once(
    run: Run, broker: MemoryBroker, settings: Settings, events: Path, tmp_path: Path
) -> None:
    run(commands.run_ingest, str(events))
    path = tmp_path / "letters.csv"
    printed = run(dead_letter_commands.run_dead_letters, Selection(), path)
    assert "2 open dead letters; 0 more were mended and sent again" in printed
    assert "        1  price_invalid\n             events.csv row 21:\n" in printed
    assert f"2 open dead letters: {path}. Correct their values, then: make redrive" in printed
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0]["user_session"], rows[1]["price"] = "LJuJVLEjPT", "12.50"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)

    # With its session, the first row repeats an event.
    printed = run(dead_letter_commands.run_redrive, Selection(), path, False)
    assert "2 dead letters = 1 would be sent + 1 in already + 0 still rejected" in printed
    assert "APPLY=1" in printed
    assert len(broker.topics["raw_events"]) == 19
    printed = run(dead_letter_commands.run_redrive, Selection(), path, True)
    assert "2 dead letters = 1 sent + 1 in already" in printed
    assert len(broker.topics["raw_events"]) == 20
    assert list(report(settings, "replay-latest.json")) == [
        "applied", "selected", "sent", "duplicates", "already_replayed", "unknown",
        "still_rejected", "reasons", "invalid_messages", "seconds", *OF_EVERY_RUN,
    ]  # fmt: skip
    printed = run(dead_letter_commands.run_redrive, Selection(), path, True)
    assert (
        "2 dead letters = 0 sent + 0 in already + 0 still rejected + 2 replayed before" in printed
    )
    printed = run(dead_letter_commands.run_dead_letters, Selection(), None)
    assert "0 open dead letters; 2 more were mended and sent again" in printed


def test_letters_of_a_topic_that_was_made_anew_are_open_and_get_no_older_corrections(
    run: Run, broker: MemoryBroker, settings: Settings, events: Path, tmp_path: Path
) -> None:
    run(commands.run_ingest, str(events))
    old = tmp_path / "letters.csv"
    run(dead_letter_commands.run_dead_letters, Selection(), old)
    with old.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0]["user_session"], rows[1]["price"] = "abc", "12.50"
    with old.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    run(dead_letter_commands.run_redrive, Selection(), old, True)
    assert len(broker.topics["raw_events_replayed"]) == 2
    # The same ids, in another topic: the second letter is of another row.
    (key, first), (_, second) = broker.topics["raw_events_dead_letter"]
    other = json.dumps({**json.loads(second), "source": "other.csv"})
    broker.topics["raw_events_dead_letter"] = [(key, first), (key, other)]
    broker.letters_topic = "letters-2"
    assert "2 open dead letters; 0 more" in run(
        dead_letter_commands.run_dead_letters, Selection(), None
    )
    sent = len(broker.topics["raw_events"])
    run(dead_letter_commands.run_redrive, Selection(), old, True)
    done = report(settings, "replay-latest.json")
    assert (done["sent"], done["duplicates"], done["unknown"]) == (0, 1, 1)
    assert len(broker.topics["raw_events"]) == sent
    assert "1 open dead letters; 1 more" in run(
        dead_letter_commands.run_dead_letters, Selection(), None
    )


@pytest.mark.parametrize(
    ("selection", "path", "words"),
    [
        (Selection(), None, "MENDED=letters.csv"),
        (Selection(), None, "CORRECTED=letters.csv"),
        (Selection(reason="price_invalid"), Path("letters.csv"), "leave out REASON"),
    ],
)
def test_a_redrive_says_what_it_needs(
    broker: MemoryBroker, settings: Settings, selection: Selection, path: Path | None, words: str
) -> None:
    with pytest.raises(PipelineError, match=words):
        dead_letter_commands.run_redrive(selection, path, False, settings, PlainConsole())


@pytest.mark.parametrize(
    ("selection", "words"),
    [(Selection(), "No dead letters."), (Selection(source="x"), "match this selection")],
)
def test_no_dead_letters_are_said(run: Run, selection: Selection, words: str) -> None:
    assert words in run(dead_letter_commands.run_dead_letters, selection, None)


def test_a_simulation_prints_how_much_it_sent(
    run: Run, broker: MemoryBroker, events: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Signal handlers of the test run stay.
    monkeypatch.setattr(commands.signal, "signal", lambda *_: None)
    printed = run(commands.run_simulate, events, Pace(1_000.0, None, None)).splitlines()
    assert printed[0].startswith(f"Playing {events} into 127.0.0.1:9092, 1000 times as fast")
    assert printed[-2].startswith("20 events sent in ")
    assert printed[-1] == "2 rows do not keep the contract and were left out"
    assert len(broker.topics["raw_events"]) == 20


def test_a_simulation_ends_after_its_seconds(
    run: Run, events: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands.signal, "signal", lambda *_: None)
    printed = run(commands.run_simulate, events, Pace(1.0, 2.0, 0.3))
    assert printed.splitlines()[1].startswith("1 events sent in 0.")


def test_nothing_is_sent_where_no_report_can_be_written(
    broker: MemoryBroker, settings: Settings, events: Path, tmp_path: Path
) -> None:
    blocked = settings.model_copy(update={"reports": events / "reports"})
    with pytest.raises(PipelineError, match=r"reports .* is not writable: .*nothing was done"):
        commands.run_ingest(str(events), blocked, PlainConsole())
    with pytest.raises(PipelineError, match=r"reports .* is not writable"):
        dead_letter_commands.run_redrive(
            Selection(reason="price_invalid"), None, True, blocked, PlainConsole()
        )
    assert broker.topics == {}


def test_a_run_that_fails_replaces_the_report_of_the_one_before(
    run: Run, settings: Settings, events: Path, tmp_path: Path
) -> None:
    run(commands.run_ingest, str(events))
    assert report(settings, "ingest-latest.json")["status"] == "ok"
    wrong = tmp_path / "missing.csv"
    with pytest.raises(PipelineError):
        commands.run_ingest(str(wrong), settings, PlainConsole())
    failed = report(settings, "ingest-latest.json")
    assert (failed["status"], failed["exit_code"], failed["file"]) == ("failed", 1, str(wrong))
    assert "missing.csv" in failed["error"]
    history = read_history(settings.reports, "ingest")
    assert [entry["status"] for entry in history] == ["ok", "failed"]


def test_rows_that_are_sent_are_said_though_the_report_cannot_be_written(
    broker: MemoryBroker,
    settings: Settings,
    events: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(PipelineError) as failure:
        commands.run_ingest(str(events), settings, PlainConsole())
    assert str(failure.value).startswith("All rows are sent. The run has done its work, but its ")
    assert f"{settings.reports}/ingest-latest.json cannot be written: No space" in str(
        failure.value
    )
    printed = capsys.readouterr().out
    assert "22 rows read = 19 accepted + 2 dead-lettered + 1 duplicates" in printed
    assert printed.endswith("\nNext: make process\n")
    assert len(broker.topics["raw_events"]) == 19


def test_what_strangers_published_is_said_once_and_stops_nothing(
    run: Run,
    broker: MemoryBroker,
    settings: Settings,
    events: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run(commands.run_ingest, str(events))
    poison = [b"[" * 100_000, b"\xff", b'{"columns": 5}', None]
    for topic in ("raw_events", "raw_events_dead_letter", "ingest_progress", "raw_events_replayed"):
        broker.topics.setdefault(topic, [])
        broker.topics[topic] += [(b"\xff\x1b", value) for value in poison]  # type: ignore[misc]
    caplog.clear()
    printed = run(commands.run_ingest, str(events))
    assert "Nothing new: all 22 rows were in already" in printed
    assert report(settings, "ingest-latest.json")["invalid_records"] == 4
    (warning,) = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert warning.startswith(
        "4 messages in ingest_progress without a meaning; the first is ingest_progress/0/1: "
        "its key is not UTF-8"
    )
    caplog.clear()
    printed = run(dead_letter_commands.run_dead_letters, Selection(), settings.reports / "l.csv")
    assert "6 open dead letters; 0 more were mended" in printed
    assert "raw_events_dead_letter row 5 (it has no value):" in printed
    warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert [text.partition(" without")[0] for text in warnings] == [
        "4 messages in raw_events_replayed",
        "4 messages in raw_events_dead_letter",
    ]
    run(dead_letter_commands.run_redrive, Selection(), settings.reports / "l.csv", False)
    run(dead_letter_commands.run_redrive, Selection(reason="no_dead_letter"), None, True)
    assert report(settings, "replay-latest.json")["reasons"] == {"not_a_row": 4}
    assert report(settings, "replay-latest.json")["invalid_messages"] == {
        "raw_events_replayed": 4,
        "raw_events_dead_letter": 4,
    }
