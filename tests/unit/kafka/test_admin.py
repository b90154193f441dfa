"""The watermarks of a topic, and the errors when the topic or the broker is missing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import PROGRESS
from customer_profiles.kafka import admin
from customer_profiles.kafka.admin import end_offsets, ensure_topics, watermarks
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.errors import BrokerUnavailableError
from tests.unit.kafka.fake_consumer import FakeConsumer

CONFIG = KafkaConfig("127.0.0.1:9")


def install_consumer(monkeypatch: pytest.MonkeyPatch, topics: Any) -> FakeConsumer:
    consumer = FakeConsumer(topics=topics)
    monkeypatch.setattr(admin, "create_consumer", lambda _: consumer)
    return consumer


def test_watermarks_are_read_for_each_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    partitions = {0: (0, 12), 1: (5, 5)}
    consumer = install_consumer(monkeypatch, {"raw_events": SimpleNamespace(partitions=partitions)})
    assert watermarks(CONFIG) == partitions
    assert consumer.is_closed


def test_a_missing_topic_is_an_error_with_the_next_action(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consumer = install_consumer(monkeypatch, {})
    with pytest.raises(
        PipelineError, match=r"^There is no topic raw_events yet\.\nRun `make ingest` first\.$"
    ):
        watermarks(CONFIG)
    assert consumer.is_closed


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (watermarks, r"Kafka does not answer on 127\.0\.0\.1:9 after 0 s(.|\n)*`make up`"),
        (ensure_topics, r"Kafka does not answer on 127\.0\.0\.1:9 after 0 s(.|\n)*`make up`"),
        (lambda config: end_offsets(config, PROGRESS), "stopped answering: .* Run `make status`"),
    ],
    ids=["watermarks", "ensure_topics", "end_offsets"],
)
def test_a_missing_broker_is_an_error_with_the_next_action(
    monkeypatch: pytest.MonkeyPatch, action: Any, message: str
) -> None:
    monkeypatch.setattr(admin, "ANSWER_S", 0.2)
    with pytest.raises(BrokerUnavailableError, match=message):
        action(CONFIG)
