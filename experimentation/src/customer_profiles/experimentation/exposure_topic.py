"""The topic of exposures: read for landing, and written by shops through `publish`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from confluent_kafka import KafkaError, Message, Producer

from customer_profiles.contracts import EXPOSURE_DEAD_LETTERS, EXPOSURES
from customer_profiles.contracts.exposure import Exposure
from customer_profiles.experimentation.landing import Messages
from customer_profiles.kafka.admin import ensure_topics, topic_state
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.dead_letters import publish_dead_letters, unpublished
from customer_profiles.kafka.errors import DeliveryError
from customer_profiles.kafka.reader import OffsetRange, read_range
from customer_profiles.lake.offsets import OffsetSpan

DELIVERY_S = 60.0
"""Longest silence of the broker while exposures are sent, in seconds."""


class KafkaExposures:
    """`landing.ExposureTopic` on a real Kafka."""

    def __init__(self, config: KafkaConfig) -> None:
        """Create the topics that are missing."""
        self._config = config
        ensure_topics(config)

    def state(self) -> tuple[str | None, dict[int, OffsetSpan]]:
        """Return the topic's id and each partition's first offset and end."""
        state = topic_state(self._config, EXPOSURES)
        return state.topic_id, dict(state.watermarks)

    def read(self, partition: int, start: int, end: int) -> Iterator[Messages]:
        """Read all messages of a range."""
        for batch in read_range(self._config, OffsetRange(partition, start, end), EXPOSURES):
            yield Messages(batch.offsets, batch.values)

    def publish_dead_letters(self, letters: list[tuple[str, str]], *, again: bool) -> None:
        """Publish keys and values; with `again`, only those that are not there yet."""
        if again:
            letters = unpublished(self._config, letters, EXPOSURE_DEAD_LETTERS)
        publish_dead_letters(self._config, letters, EXPOSURE_DEAD_LETTERS)


def publish(config: KafkaConfig, exposures: Iterable[Exposure]) -> int:
    """Send exposures to the topic; return how many there were.

    This is the call for a shop in Python. An exposure may be sent again: landing recognises it.
    All clients put a customer into the same partition, as Kafka's Java client does.

    Raises:
        DeliveryError: Kafka did not store all of them. Send them again.
    """
    producer = Producer(
        {
            **config.client_settings(),
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "compression.type": "zstd",
            "linger.ms": 5,
            "log_level": 0,
        }
    )
    failures: list[str] = []

    def on_delivery(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(error.str())

    count = 0
    for exposure in exposures:
        deadline = time.monotonic() + DELIVERY_S
        while True:
            try:
                value = exposure.to_json()
                producer.produce(EXPOSURES.name, value, exposure.user_id, on_delivery=on_delivery)
                break
            except BufferError:
                # The queue is full: wait until a delivered message leaves it.
                if time.monotonic() > deadline:
                    raise _not_sent("no answer") from None
                producer.poll(0.5)
        producer.poll(0)
        count += 1
    if producer.flush(DELIVERY_S) or failures:
        raise _not_sent(failures[0] if failures else "no answer")
    return count


def _not_sent(reason: str) -> DeliveryError:
    return DeliveryError(
        f"Kafka did not store all exposures: {reason}.\n"
        "Run `make status`, then the same command again: repeats are recognised."
    )
