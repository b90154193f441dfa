"""Rejected rows are listed, corrected, sent again and counted once, on real servers."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from customer_profiles.contracts import (
    DEAD_LETTERS,
    PROGRESS,
    RAW_EVENTS,
    REPLAYED,
    InvalidMessageError,
    Redriven,
    decode_event,
)
from tests.integration.conftest import Stack, messages
from tests.poison import poison
from tests.support import HEADER, line

POISON = 300
"""Odd messages in each topic."""
ROWS = [
    *(line(user_id=f"90{number}") for number in range(1, 20)),
    line(user_id="901", user_session=""),
    line(user_id="902", price="free"),
]


@pytest.fixture(scope="module")
def source(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of an ingested file with two rejected rows."""
    path = tmp_path_factory.mktemp("data") / "rejected.csv"
    path.write_text("\n".join([HEADER, *ROWS, ""]))
    done = stack.python("customer_profiles.ingestion", "ingest", str(path), MAX_REJECTED="20")
    assert done.returncode == 0, done.stderr
    return path.name


def sent(stack: Stack, source: str) -> list[dict[str, Any]]:
    values = [
        json.loads(message.value)
        for message in messages(stack, RAW_EVENTS.name)
        if b'"source":' in message.value
    ]
    return [value for value in values if value.get("source") == source]


def report(stack: Stack) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((stack.reports / "replay-latest.json").read_text())
    return content


@pytest.fixture(scope="module")
def mended(stack: Stack, source: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export with two corrected rows, one of which repeats an event that the topic has."""
    path = tmp_path_factory.mktemp("mended") / "letters.csv"
    done = stack.python(
        "customer_profiles.ingestion", "dead-letters", "--source", source, "--export", str(path)
    )
    assert done.returncode == 0, done.stderr
    assert "2 open dead letters" in done.stdout
    assert "1  price_invalid" in done.stdout
    assert f"{source} row 20:" in done.stdout
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["reasons"] for row in rows] == ["user_session_missing", "price_invalid"]
    rows[0]["user_session"] = "LJuJVLEjPT"
    rows[1]["price"] = "12.50"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_nothing_is_sent_before_it_is_asked_for(stack: Stack, source: str, mended: Path) -> None:
    done = stack.python("customer_profiles.ingestion", "redrive", "--corrected", str(mended))
    assert done.returncode == 0, done.stderr
    assert "2 dead letters = 1 would be sent + 1 in already" in done.stdout
    assert "APPLY=1" in done.stdout
    assert len(sent(stack, source)) == 19


def test_mended_rows_are_sent_once_with_their_place(
    stack: Stack, source: str, mended: Path
) -> None:
    done = stack.python(
        "customer_profiles.ingestion", "redrive", "--corrected", str(mended), "--apply"
    )
    assert done.returncode == 0, done.stderr
    assert (report(stack)["sent"], report(stack)["duplicates"]) == (1, 1)
    events = sent(stack, source)
    assert len(events) == 20
    assert [event["source_row"] for event in events if event["price"] == "12.50"] == [21]
    # By the old names, which this release still accepts.
    again = stack.python(
        "customer_profiles.ingestion", "replay", "--mended", str(mended), "--apply"
    )
    assert again.returncode == 0, again.stderr
    assert (report(stack)["sent"], report(stack)["already_replayed"]) == (0, 2)
    assert len(sent(stack, source)) == 20
    shown = stack.python("customer_profiles.ingestion", "dead-letters", "--source", source)
    assert "0 open dead letters; 2 more were mended" in shown.stdout


def test_a_mended_row_counts_once_in_its_profile(stack: Stack) -> None:
    done = stack.python("customer_profiles.processing", "process")
    assert done.returncode == 0, done.stdout + done.stderr
    for user, events in (("901", 1), ("902", 2)):
        shown = stack.python("customer_profiles.processing", "profile", user)
        assert json.loads(shown.stdout)["total_events"] == events


def test_a_row_that_is_rejected_again_by_another_run_stays_done_with(
    stack: Stack, source: str, tmp_path: Path
) -> None:
    path = tmp_path / source
    path.write_text("\n".join([HEADER, *ROWS, ""]))
    done = stack.python(
        "customer_profiles.ingestion", "ingest", str(path), MAX_REJECTED="20", REINGEST="1"
    )
    assert done.returncode == 0, done.stderr
    shown = stack.python("customer_profiles.ingestion", "dead-letters", "--source", source)
    assert "0 open dead letters; 2 more were mended" in shown.stdout


def test_all_of_a_reason_are_checked_again(stack: Stack) -> None:
    before = len(messages(stack, RAW_EVENTS.name))
    done = stack.python(
        "customer_profiles.ingestion", "redrive", "--reason", "user_session_missing", "--apply"
    )
    assert done.returncode == 0, done.stderr
    assert report(stack)["sent"] == 0
    assert (
        report(stack)["still_rejected"] + report(stack)["already_replayed"]
        == report(stack)["selected"]
        > 0
    )
    assert len(messages(stack, RAW_EVENTS.name)) == before


def test_a_replay_says_what_it_needs(stack: Stack) -> None:
    done = stack.python("customer_profiles.ingestion", "redrive")
    assert done.returncode == 1
    assert "MENDED=letters.csv" in done.stderr
    done = stack.python("customer_profiles.ingestion", "dead-letters", "--since", "yesterday")
    assert done.returncode == 1
    assert "SINCE=yesterday is no time" in done.stderr


def test_standard_input_is_ingested(stack: Stack) -> None:
    done = stack.python(
        "customer_profiles.ingestion",
        "ingest",
        "-",
        stdin="\n".join([HEADER, line(user_id="4242"), ""]),
    )
    assert done.returncode == 0, done.stderr
    assert "Ingesting standard input as stdin" in done.stdout
    assert len(sent(stack, "stdin")) == 1


def publish_poison(stack: Stack) -> None:
    """Publish odd messages to every topic of ingestion and processing."""
    producer = Producer(stack.ingestion.kafka.client_settings())
    valid = {
        topic.name: [
            (message.key, message.value)
            for message in messages(stack, topic.name)
            if message.value is not None
        ][:20]
        for topic in (RAW_EVENTS, DEAD_LETTERS, PROGRESS, REPLAYED)
    }
    redriven = Redriven("a" * 32, True, "2026-11-23T12:00:00+00:00").to_json().encode()
    valid[REPLAYED.name].append((b"0/1000000", redriven))
    for seed, (topic, samples) in enumerate(valid.items()):
        for key, value in poison(samples, POISON, seed):
            # A compacted topic takes no message without a key.
            producer.produce(topic, value, key or b"?", partition=0)
    assert producer.flush(60) == 0


def is_invalid(value: bytes | None) -> bool:
    try:
        decode_event(value)
    except InvalidMessageError:
        return True
    return False


def test_whatever_is_published_stops_no_command(stack: Stack, source: str, tmp_path: Path) -> None:
    before = {(one.partition, one.offset) for one in messages(stack, RAW_EVENTS.name)}
    publish_poison(stack)
    path = tmp_path / "after.csv"
    path.write_text("\n".join([HEADER, line(user_id="779311"), ""]))
    export = str(tmp_path / "letters.csv")
    for arguments in (
        ["ingestion", "ingest", str(path)],
        ["ingestion", "dead-letters", "--export", export],
        ["ingestion", "redrive", "--corrected", export, "--apply"],
        ["ingestion", "redrive", "--reason", "no_dead_letter", "--apply"],
        ["processing", "process"],
        ["ingestion", "dead-letters"],
        ["processing", "summary"],
    ):
        done = stack.python(f"customer_profiles.{arguments[0]}", *arguments[1:])
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        for text in (done.stdout, done.stderr):
            assert all(letter.isprintable() or letter == "\n" for letter in text)
        assert "Traceback" not in done.stderr
    assert report(stack)["invalid_messages"]["raw_events_dead_letter"] > POISON / 2
    ingested = json.loads((stack.reports / "ingest-latest.json").read_text())
    assert (ingested["accepted"], ingested["invalid_records"] > POISON / 2) == (1, True)
    processed = json.loads((stack.reports / "process-latest.json").read_text())
    # Every message became an event or a dead letter. Earlier tests left events to land.
    new = [
        one.value
        for one in messages(stack, RAW_EVENTS.name)
        if (one.partition, one.offset) not in before
    ]
    assert processed["misfits"] == sum(map(is_invalid, new)) > POISON / 2
    assert processed["events_landed"] >= len(new) - processed["misfits"]
    shown = stack.python("customer_profiles.processing", "profile", "779311")
    assert json.loads(shown.stdout)["total_events"] == 1
