"""Publish messages of `raw_events` that break the contract to the topic of dead letters."""

from __future__ import annotations

import time

from confluent_kafka import KafkaError, Message, Producer

from customer_profiles.contracts import DEAD_LETTERS, Topic
from customer_profiles.kafka.admin import watermarks
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.errors import DeliveryError
from customer_profiles.kafka.reader import OffsetRange, read_range

DELIVERY_S = 60.0
"""Longest time to publish dead letters, in seconds."""


def publish_dead_letters(
    config: KafkaConfig, letters: list[tuple[str, str]], topic: Topic = DEAD_LETTERS
) -> None:
    """Publish dead letters. Returns once the broker has stored all of them.

    Args:
        config: how to reach the brokers.
        letters: the id (`topic/partition/offset` of the message) and the JSON of each dead letter.
        topic: where they go.

    Raises:
        DeliveryError: the broker did not store all of them.
    """
    producer = Producer({**config.client_settings(), "enable.idempotence": True, "log_level": 0})
    failures: list[str] = []

    def on_delivery(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(error.str())

    deadline = time.monotonic() + DELIVERY_S
    for key, value in letters:
        while True:
            try:
                producer.produce(topic.name, value, key, on_delivery=on_delivery)
                break
            except BufferError:
                # The queue is full: wait until a delivered message leaves it.
                if time.monotonic() > deadline:
                    raise _not_published("no answer") from None
                producer.poll(0.5)
        producer.poll(0)
    if producer.flush(DELIVERY_S) or failures:
        raise _not_published(failures[0] if failures else "no answer")


def unpublished(
    config: KafkaConfig, letters: list[tuple[str, str]], topic: Topic = DEAD_LETTERS
) -> list[tuple[str, str]]:
    """Return the dead letters that an earlier attempt has not published yet.

    Args:
        config: how to reach the brokers.
        letters: as for `publish_dead_letters`.
        topic: where they go.

    Raises:
        BrokerUnavailableError: the broker does not answer.
    """
    published: set[bytes | None] = set()
    for partition, (start, end) in watermarks(config, topic).items():
        if start < end:
            for batch in read_range(config, OffsetRange(partition, start, end), topic):
                published.update(batch.values)
    return [(key, value) for key, value in letters if value.encode() not in published]


def _not_published(reason: str) -> DeliveryError:
    return DeliveryError(
        f"The dead letters could not be published: {reason}. "
        "Run `make status`, then the same command again."
    )
