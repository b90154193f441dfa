"""What processing reads of `ingest_progress`, and what it writes there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from customer_profiles.kafka import source_records
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.source_records import SourceRecord, mark_lost, read_sources
from tests.unit.kafka.fake_publisher import record_publications

CONFIG = KafkaConfig("broker:9092")
RECORD = {
    "source": "a.csv",
    "end": 10,
    "digest": "0" * 64,
    "read": 4,
    "accepted": 3,
    "dead_lettered": 1,
    "duplicates": 0,
    "updated_at": "2026-11-23T12:00:00+00:00",
    "topic_id": None,
}


def install_topic(
    monkeypatch: pytest.MonkeyPatch, *messages: tuple[bytes | None, bytes | None]
) -> None:
    def read_topic(*_: object) -> Iterator[Any]:
        return (
            SimpleNamespace(key=lambda key=key: key, value=lambda value=value: value)
            for key, value in messages
        )

    monkeypatch.setattr(source_records, "read_topic", read_topic)


def test_the_newest_record_of_each_source_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    newest = {**RECORD, "accepted": 5}
    other = {**RECORD, "source": "b.csv"}
    install_topic(
        monkeypatch,
        *(
            (str(record["source"]).encode(), json.dumps(record).encode())
            for record in (RECORD, other, newest)
        ),
    )
    assert read_sources(CONFIG) == {
        "a.csv": SourceRecord("a.csv", 5, newest),
        "b.csv": SourceRecord("b.csv", 3, other),
    }


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"caf\xe9",
        b"7",
        b"[]",
        b"[" * 100_000,
        b"{}",
        b'{"source": "a.csv"}',
        json.dumps({**RECORD, "source": 7}).encode(),
        json.dumps({**RECORD, "source": "b.csv"}).encode(),
        json.dumps({**RECORD, "accepted": float("inf")}).encode(),
        json.dumps({**RECORD, "accepted": True}).encode(),
    ],
)
def test_what_is_no_record_is_left_out(
    monkeypatch: pytest.MonkeyPatch, value: bytes | None
) -> None:
    install_topic(monkeypatch, (b"a.csv", value))
    assert read_sources(CONFIG) == {}


def test_a_record_is_marked_as_lost_in_a_transaction_of_its_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = record_publications(monkeypatch)
    mark_lost(CONFIG, [SourceRecord("a.csv", 3, RECORD)])
    assert calls == [
        # Whoever ingests the source at this moment is fenced.
        ("librdkafka", "a.csv"),
        "begin",
        ("ingest_progress", ["a.csv"], [{**RECORD, "topic_id": ""}]),
        "commit",
        "close",
    ]
