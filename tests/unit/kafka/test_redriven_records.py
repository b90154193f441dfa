"""What processing reads of `raw_events_replayed`, and what it writes there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import Redriven
from customer_profiles.kafka import redriven_records
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.errors import BrokerUnavailableError
from customer_profiles.kafka.redriven_records import mark_redriven_lost, read_redriven
from tests.unit.kafka.fake_publisher import record_publications

CONFIG = KafkaConfig("broker:9092")
RECORD = Redriven("a" * 32, True, "2026-11-23T12:00:00+00:00", "letters-1", "a.csv", 7)


def install_topic(
    monkeypatch: pytest.MonkeyPatch, *messages: tuple[bytes | None, bytes | None]
) -> None:
    def read_topic(*_: object) -> Iterator[Any]:
        return (
            SimpleNamespace(key=lambda key=key: key, value=lambda value=value: value)
            for key, value in messages
        )

    monkeypatch.setattr(redriven_records, "topic_id", lambda *_: "replayed-1")
    monkeypatch.setattr(redriven_records, "read_topic", read_topic)


def test_the_newest_record_of_each_letter_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = replace(RECORD, event_id="b" * 32)
    value, newer_value = RECORD.to_json().encode(), newer.to_json().encode()
    install_topic(
        monkeypatch,
        *((b"0/1", value), (b"0/2", value), (b"0/1", newer_value), (b"0/2", None)),
        *((b"caf\xe9", value), (b"0/3", b"["), (None, value), (b"0/4", None)),
    )
    assert read_redriven(CONFIG) == {"0/1": newer}


def test_records_of_old_versions_have_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    old = {"event_id": "a" * 32, "sent": True, "replayed_at": "2026-11-23T12:00:00+00:00"}
    install_topic(monkeypatch, (b"0/1", json.dumps(old).encode()))
    assert read_redriven(CONFIG)["0/1"] == Redriven(**old)


def test_without_the_topic_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> str:
        raise PipelineError("There is no topic raw_events_replayed yet.")

    monkeypatch.setattr(redriven_records, "topic_id", missing)
    assert read_redriven(CONFIG) == {}


def test_a_broker_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> str:
        raise BrokerUnavailableError("Kafka does not answer.")

    monkeypatch.setattr(redriven_records, "topic_id", away)
    with pytest.raises(BrokerUnavailableError):
        read_redriven(CONFIG)


def test_letters_are_opened_again_in_a_transaction_of_the_redrive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = record_publications(monkeypatch)
    mark_redriven_lost(CONFIG, {})
    assert calls == []
    mark_redriven_lost(CONFIG, {"0/1": RECORD})
    lost = {**json.loads(RECORD.to_json()), "topic_id": ""}
    assert calls == [
        ("librdkafka", "dead letters"),
        "begin",
        ("raw_events_replayed", ["0/1"], [lost]),
        "commit",
        "close",
    ]
    # What was written is read back as it was meant.
    assert Redriven.from_json(json.dumps(lost)) == replace(RECORD, topic_id="")
