"""Exposures on their way to Kafka and out of it, with a client in place of Kafka's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from customer_profiles.contracts import EXPOSURE_DEAD_LETTERS, EXPOSURES
from customer_profiles.contracts.exposure import Exposure
from customer_profiles.experimentation import exposure_topic
from customer_profiles.experimentation.exposure_topic import KafkaExposures, publish
from customer_profiles.kafka.errors import DeliveryError
from customer_profiles.kafka.reader import OffsetRange

CONFIG: Any = SimpleNamespace(client_settings=lambda: {"bootstrap.servers": "kafka:9092"})
SENT = [Exposure("banner", "control", str(user), "2020-01-11T00:00:00Z") for user in range(3)]


class Client:
    """A producer whose queue holds `room` messages until `poll` is called."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.stored: list[tuple[str, str, str]] = []
        self.room = 10**9
        self.waiting = 0
        self.refusal: str | None = None
        self.undelivered = 0

    def produce(
        self, topic: str, value: str, key: str, on_delivery: Callable[[Any, Any], None]
    ) -> None:
        if self.waiting >= self.room:
            raise BufferError
        self.waiting += 1
        self.stored.append((topic, key, value))
        error = SimpleNamespace(str=lambda: self.refusal) if self.refusal else None
        on_delivery(error, None)

    def poll(self, seconds: float) -> None:
        if seconds:
            self.waiting = 0

    def flush(self, _seconds: float) -> int:
        return self.undelivered


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    client = Client({})

    def create(settings: dict[str, Any]) -> Client:
        client.settings = settings
        return client

    monkeypatch.setattr(exposure_topic, "Producer", create)
    return client


def test_exposures_have_their_customer_as_key_and_the_partition_of_java(client: Client) -> None:
    assert publish(CONFIG, SENT) == 3
    assert [(topic, key) for topic, key, _ in client.stored] == [
        (EXPOSURES.name, str(user)) for user in range(3)
    ]
    assert json.loads(client.stored[0][2])["variant"] == "control"
    assert client.settings["partitioner"] == "murmur2_random"
    assert client.settings["enable.idempotence"] is True
    assert client.settings["bootstrap.servers"] == "kafka:9092"


def test_a_full_queue_waits_until_it_has_room(client: Client) -> None:
    client.room = 1
    assert publish(CONFIG, SENT) == 3
    assert len(client.stored) == 3


def test_a_queue_that_stays_full_is_an_error(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.room = 0
    monkeypatch.setattr(exposure_topic, "DELIVERY_S", -1.0)
    with pytest.raises(DeliveryError, match="did not store all exposures: no answer") as error:
        publish(CONFIG, SENT)
    assert "repeats are recognised" in str(error.value)


def test_what_kafka_did_not_store_is_an_error_with_its_reason(client: Client) -> None:
    client.undelivered = 1
    with pytest.raises(DeliveryError, match=r"no answer\.\nRun `make status`"):
        publish(CONFIG, SENT)
    client.refusal = "message too large"
    with pytest.raises(DeliveryError, match="message too large"):
        publish(CONFIG, SENT)


def test_the_topic_is_read_by_ranges_of_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    state = SimpleNamespace(topic_id="t1", watermarks={0: (0, 7)})

    def read_range(_config: object, wanted: OffsetRange, topic: object) -> Iterator[Any]:
        assert (wanted, topic) == (OffsetRange(0, 3, 5), EXPOSURES)
        yield SimpleNamespace(offsets=[3, 4], values=[b"a", None])

    monkeypatch.setattr(exposure_topic, "ensure_topics", made.append)
    monkeypatch.setattr(exposure_topic, "topic_state", lambda *_: state)
    monkeypatch.setattr(exposure_topic, "read_range", read_range)
    topic = KafkaExposures(CONFIG)
    assert made == [CONFIG]
    assert topic.state() == ("t1", {0: (0, 7)})
    (messages,) = topic.read(0, 3, 5)
    assert (list(messages.offsets), list(messages.values)) == ([3, 4], [b"a", None])


def test_dead_letters_are_published_again_only_where_they_are_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = {("a", "1")}
    published: list[tuple[str, str]] = []

    def publish_letters(_config: object, letters: list[tuple[str, str]], topic: object) -> None:
        assert topic is EXPOSURE_DEAD_LETTERS
        published.extend(letters)

    monkeypatch.setattr(exposure_topic, "ensure_topics", lambda _: None)
    monkeypatch.setattr(exposure_topic, "publish_dead_letters", publish_letters)
    monkeypatch.setattr(
        exposure_topic,
        "unpublished",
        lambda _config, letters, _topic: [each for each in letters if each not in there],
    )
    topic = KafkaExposures(CONFIG)
    letters = [("a", "1"), ("b", "2")]
    topic.publish_dead_letters(letters, again=True)
    assert published == [("b", "2")]
    topic.publish_dead_letters(letters, again=False)
    assert published == [("b", "2"), *letters]
