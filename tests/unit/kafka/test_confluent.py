"""The publisher that uses confluent-kafka's `Producer`, with a fake producer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from customer_profiles.kafka import confluent
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.confluent import ConfluentPublisher
from customer_profiles.kafka.errors import DeliveryError, ProducerFencedError

CONFIG = KafkaConfig("broker:9092")


def kafka_error(code: int, *, retriable: bool = False) -> KafkaException:
    return KafkaException(KafkaError(code, f"reason {code}", False, retriable))


class FakeProducer:
    """Records every call. A call raises the next error that `errors` has under its name."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.calls: list[str] = []
        self.sent: list[tuple[str, str, str]] = []
        self.errors: dict[str, Iterator[Exception]] = {}

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if error := next(self.errors.get(name, iter(())), None):
            raise error

    def init_transactions(self, timeout: float) -> None:  # noqa: ARG002
        self._call("init")

    def begin_transaction(self) -> None:
        self._call("begin")

    def commit_transaction(self, timeout: float) -> None:  # noqa: ARG002
        self._call("commit")

    def abort_transaction(self, timeout: float) -> None:  # noqa: ARG002
        self._call("abort")

    def produce(self, topic: str, value: str, key: str) -> None:
        self._call("produce")
        self.sent.append((topic, key, value))

    def poll(self, timeout: float) -> int:  # noqa: ARG002
        self._call("poll")
        return 0


@pytest.fixture
def producers(monkeypatch: pytest.MonkeyPatch) -> list[FakeProducer]:
    """Collect the producers that publishers create."""
    created: list[FakeProducer] = []

    def create(settings: dict[str, Any]) -> FakeProducer:
        created.append(FakeProducer(settings))
        return created[-1]

    monkeypatch.setattr(confluent, "Producer", create)
    return created


@pytest.fixture
def publisher(producers: list[FakeProducer]) -> ConfluentPublisher:
    return ConfluentPublisher(CONFIG, "events.csv")


@pytest.fixture
def producer(publisher: ConfluentPublisher, producers: list[FakeProducer]) -> FakeProducer:
    return producers[0]


def columns(*numbers: int) -> tuple[pl.Series, pl.Series]:
    return pl.Series([f"key {n}" for n in numbers]), pl.Series([f"value {n}" for n in numbers])


def test_a_transaction_is_sent_in_order(
    publisher: ConfluentPublisher, producer: FakeProducer
) -> None:
    publisher.begin()
    publisher.send("raw_events", *columns(1, 2))
    publisher.send("empty", pl.Series([], dtype=pl.String), pl.Series([], dtype=pl.String))
    publisher.commit()
    assert producer.sent == [
        ("raw_events", "key 1", "value 1"),
        ("raw_events", "key 2", "value 2"),
    ]
    assert producer.calls == ["init", "begin", "produce", "produce", "poll", "poll", "commit"]


def test_the_producer_is_transactional_and_partitions_like_the_java_client(
    producer: FakeProducer,
) -> None:
    expected = {
        "bootstrap.servers": "broker:9092",
        "transactional.id": "ingest-events.csv",
        "transaction.timeout.ms": "60000",
        "partitioner": "murmur2_random",
        "compression.type": "zstd",
    }
    assert producer.settings | expected == producer.settings
    # librdkafka itself rejects unknown settings.
    Producer(producer.settings)


@pytest.mark.parametrize(
    "code",
    [KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH],
)
@pytest.mark.parametrize("action", ["begin", "produce", "commit", "abort"])
def test_a_fenced_producer_reports_that_another_run_has_taken_over(
    publisher: ConfluentPublisher, producer: FakeProducer, action: str, code: int
) -> None:
    producer.errors[action] = iter([kafka_error(code)])
    with pytest.raises(
        ProducerFencedError, match=r"Another run has taken over the source events\.csv"
    ):
        _run(publisher, action)


@pytest.mark.parametrize("action", ["begin", "produce", "commit", "abort"])
def test_other_errors_name_the_next_action(
    publisher: ConfluentPublisher, producer: FakeProducer, action: str
) -> None:
    producer.errors[action] = iter([kafka_error(KafkaError._STATE)])
    with pytest.raises(DeliveryError, match=r"did not accept a transaction: reason(.|\n)*make sta"):
        _run(publisher, action)


def _run(publisher: ConfluentPublisher, action: str) -> None:
    if action == "produce":
        publisher.send("raw_events", *columns(1))
    else:
        getattr(publisher, action)()


@pytest.mark.parametrize("action", ["commit", "abort"])
def test_timeouts_and_retriable_errors_are_retried(
    publisher: ConfluentPublisher, producer: FakeProducer, action: str
) -> None:
    producer.errors[action] = iter(
        [kafka_error(KafkaError._TIMED_OUT), kafka_error(KafkaError._TRANSPORT, retriable=True)]
    )
    getattr(publisher, action)()
    assert producer.calls == ["init", action, action, action]


def test_a_broker_that_never_answers_is_an_error(
    publisher: ConfluentPublisher, producer: FakeProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confluent, "COMMIT_S", 0)
    producer.errors["commit"] = iter([kafka_error(KafkaError._TIMED_OUT)] * 100_000)
    with pytest.raises(DeliveryError, match="make status"):
        publisher.commit()


def test_sending_waits_for_room_in_a_full_queue(
    publisher: ConfluentPublisher, producer: FakeProducer
) -> None:
    producer.errors["produce"] = iter([BufferError(), BufferError()])
    publisher.send("raw_events", *columns(1, 2))
    assert [key for _, key, _ in producer.sent] == ["key 1", "key 2"]


def test_a_queue_that_stays_full_is_an_error(
    publisher: ConfluentPublisher, producer: FakeProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confluent, "COMMIT_S", 0.01)
    producer.errors["produce"] = iter([BufferError()] * 100_000)
    with pytest.raises(DeliveryError, match="stayed full"):
        publisher.send("raw_events", *columns(1))


def test_a_closed_publisher_refuses_to_work(publisher: ConfluentPublisher) -> None:
    publisher.close()
    publisher.close()
    with pytest.raises(DeliveryError, match="closed"):
        publisher.begin()
