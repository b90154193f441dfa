"""A fake consumer that follows a script, and functions that make the script's messages."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, Message, TopicPartition

TOPIC = "raw_events"
PRODUCED_MS = 1_000


def message(offset: int, partition: int = 0) -> Message:
    """Return a message whose value and time (`PRODUCED_MS + offset`) depend on its offset."""
    value = f"value {offset}".encode()
    return Message(TOPIC, partition, offset, b"key", value, timestamp=(1, PRODUCED_MS + offset))


def messages(*offsets: int) -> list[Message]:
    return [message(offset) for offset in offsets]


def failure(code: int, *, retriable: bool = False, offset: int = 0, partition: int = 0) -> Message:
    error = KafkaError(code, f"reason {code}", False, retriable)
    return Message(TOPIC, partition, offset, error=error)


def partition_end(offset: int, partition: int = 0) -> Message:
    return failure(KafkaError._PARTITION_EOF, offset=offset, partition=partition)


class FakeConsumer:
    """Answers each poll with the next entry of its script. An empty entry is a silent poll."""

    def __init__(self, polls: Iterable[list[Message]] = (), topics: Any = None) -> None:
        self._polls = iter(polls)
        self._topics = topics or {}
        self.assigned: list[tuple[str, int, int]] = []
        self.timeouts: list[float] = []
        self.is_closed = False

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.assigned = [
            (partition.topic, partition.partition, partition.offset) for partition in partitions
        ]

    def consume(self, num_messages: int, timeout: float) -> list[Message]:
        self.timeouts.append(timeout)
        polled = next(self._polls, None)
        assert polled is not None, "polled after the end of the script"
        assert len(polled) <= num_messages
        return polled

    def list_topics(self, timeout: float) -> SimpleNamespace:  # noqa: ARG002
        return SimpleNamespace(topics=self._topics, cluster_id=None)

    def get_watermark_offsets(
        self,
        partition: TopicPartition,
        timeout: float,  # noqa: ARG002
    ) -> tuple[int, int]:
        offsets: tuple[int, int] = self._topics[partition.topic].partitions[partition.partition]
        return offsets

    def close(self) -> None:
        self.is_closed = True
