"""The watermarks of a topic, and the errors when the topic or the broker is missing."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Uuid

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import PROGRESS
from customer_profiles.kafka import admin
from customer_profiles.kafka.admin import (
    TopicState,
    end_offsets,
    ensure_topics,
    topic_id,
    topic_state,
    watermarks,
)
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


def install_description(monkeypatch: pytest.MonkeyPatch, answer: Uuid | int) -> None:
    """Answer requests for topics with an id, or with an error of this code."""
    future: Future[Any] = Future()
    if isinstance(answer, Uuid):
        future.set_result(SimpleNamespace(topic_id=answer))
    else:
        future.set_exception(KafkaException(KafkaError(answer)))

    def describe_topics(topics: object, request_timeout: float) -> dict[str, Future[Any]]:
        return {"raw_events": future}

    client = SimpleNamespace(describe_topics=describe_topics)
    monkeypatch.setattr(admin, "_admin_client", lambda _: client)


def test_a_topic_has_an_id_and_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    partitions = {0: (0, 12), 1: (5, 5)}
    install_consumer(monkeypatch, {"raw_events": SimpleNamespace(partitions=partitions)})
    install_description(monkeypatch, Uuid(1, 2))
    identifier = str(Uuid(1, 2))
    assert topic_state(CONFIG) == TopicState(identifier, partitions)
    assert topic_id(CONFIG) == identifier


def test_a_topic_that_was_just_created_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "RETRY_S", 0.001)
    errors = iter([KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE])

    def list_offsets(requests: Any, request_timeout: float) -> dict[Any, Future[Any]]:
        code = next(errors, None)
        answers: dict[Any, Future[Any]] = {request: Future() for request in requests}
        for future in answers.values():
            if code is None:
                future.set_result(SimpleNamespace(offset=3))
            else:
                future.set_exception(KafkaException(KafkaError(code)))
        return answers

    client = SimpleNamespace(list_offsets=list_offsets)
    monkeypatch.setattr(admin, "_admin_client", lambda _: client)
    assert end_offsets(CONFIG, PROGRESS) == {0: 3}


def test_a_broker_that_gives_no_ids_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    install_description(monkeypatch, Uuid(0, 0))
    assert topic_id(CONFIG) is None


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, "There is no topic raw_events yet"),
        (KafkaError._TIMED_OUT, "stopped answering"),
    ],
)
def test_a_topic_without_an_id_is_an_error_with_the_next_action(
    monkeypatch: pytest.MonkeyPatch, code: int, message: str
) -> None:
    install_description(monkeypatch, code)
    with pytest.raises(PipelineError, match=message):
        topic_id(CONFIG)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (watermarks, r"Kafka does not answer on 127\.0\.0\.1:9 after 0 s(.|\n)*`make up`"),
        (ensure_topics, r"Kafka does not answer on 127\.0\.0\.1:9 after 0 s(.|\n)*`make up`"),
        (lambda config: end_offsets(config, PROGRESS), "stopped answering: .* Run `make status`"),
        (topic_state, r"Kafka does not answer on 127\.0\.0\.1:9 after 0 s(.|\n)*`make up`"),
        (topic_id, "stopped answering: .* Run `make status`"),
    ],
    ids=["watermarks", "ensure_topics", "end_offsets", "topic_state", "topic_id"],
)
def test_a_missing_broker_is_an_error_with_the_next_action(
    monkeypatch: pytest.MonkeyPatch, action: Any, message: str
) -> None:
    monkeypatch.setattr(admin, "ANSWER_S", 0.2)
    with pytest.raises(BrokerUnavailableError, match=message):
        action(CONFIG)
