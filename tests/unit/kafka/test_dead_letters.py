"""Dead letters are published once, even if an earlier attempt published some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError

from customer_profiles.contracts import DEAD_LETTERS, Topic
from customer_profiles.kafka import dead_letters
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.dead_letters import publish_dead_letters, unpublished
from customer_profiles.kafka.errors import DeliveryError
from customer_profiles.kafka.reader import MessageBatch, OffsetRange

CONFIG = KafkaConfig("broker:9092")
ENTRIES = [(f"raw_events/0/{number}", f'{{"text": "é {number}"}}') for number in range(3)]
"""Key and value of each dead letter."""


class FakeProducer:
    """Has a queue with room for one message. A poll delivers it."""

    def __init__(self, error: KafkaError | None = None, *, answers: bool = True) -> None:
        self._error = error
        self._answers = answers
        self._queue: list[Callable[..., None]] = []
        self.sent: list[tuple[str, str, str]] = []

    def produce(self, topic: str, value: str, key: str, on_delivery: Callable[..., None]) -> None:
        if self._queue:
            raise BufferError
        self._queue.append(on_delivery)
        self.sent.append((topic, key, value))

    def poll(self, timeout: float) -> int:
        if timeout and self._answers:
            self._queue.pop()(self._error, None)
        return 0

    def flush(self, timeout: float) -> int:
        self.poll(timeout)
        return len(self._queue)


@pytest.fixture
def install_producer(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeProducer], FakeProducer]:
    def install(producer: FakeProducer) -> FakeProducer:
        def create(settings: dict[str, Any]) -> FakeProducer:
            assert settings["bootstrap.servers"] == "broker:9092"
            assert settings["enable.idempotence"] is True
            return producer

        monkeypatch.setattr(dead_letters, "Producer", create)
        return producer

    return install


def test_all_dead_letters_are_published_even_if_the_queue_is_short(
    install_producer: Callable[[FakeProducer], FakeProducer],
) -> None:
    producer = install_producer(FakeProducer())
    publish_dead_letters(CONFIG, ENTRIES)
    assert producer.sent == [(DEAD_LETTERS.name, key, value) for key, value in ENTRIES]


@pytest.mark.parametrize(
    ("producer", "reason"),
    [
        (FakeProducer(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, "too large")), "too large"),
        (FakeProducer(answers=False), "no answer"),
    ],
)
def test_undelivered_dead_letters_are_an_error(
    install_producer: Callable[[FakeProducer], FakeProducer], producer: FakeProducer, reason: str
) -> None:
    install_producer(producer)
    with pytest.raises(
        DeliveryError, match=f"dead letters could not be published: {reason}. Run `make status`"
    ):
        publish_dead_letters(CONFIG, ENTRIES[:1])


def test_a_queue_that_stays_full_is_an_error(
    install_producer: Callable[[FakeProducer], FakeProducer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "DELIVERY_S", 0)
    install_producer(FakeProducer(answers=False))
    with pytest.raises(DeliveryError, match="no answer"):
        publish_dead_letters(CONFIG, ENTRIES)


def test_dead_letters_of_an_earlier_attempt_are_not_published_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored: list[bytes | None] = [ENTRIES[0][1].encode(), None, b"another"]
    reads: list[OffsetRange] = []

    def watermarks(config: KafkaConfig, topic: Topic) -> dict[int, tuple[int, int]]:
        assert (config, topic) == (CONFIG, DEAD_LETTERS)
        return {0: (4, 9), 1: (3, 3)}

    def read_range(
        config: KafkaConfig, offset_range: OffsetRange, topic: Topic
    ) -> Iterator[MessageBatch]:
        assert (config, topic) == (CONFIG, DEAD_LETTERS)
        reads.append(offset_range)
        yield MessageBatch([4, 5, 8], stored, 0)

    monkeypatch.setattr(dead_letters, "watermarks", watermarks)
    monkeypatch.setattr(dead_letters, "read_range", read_range)
    assert unpublished(CONFIG, ENTRIES) == ENTRIES[1:]
    assert reads == [OffsetRange(0, 4, 9)]
