"""A broker in memory, in place of Kafka."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import polars as pl
from confluent_kafka import Message

from customer_profiles.ingestion.progress import Progress


class Killed(BaseException):
    """Stands for the death of the process."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message with the methods of confluent-kafka's."""

    stored: tuple[bytes | None, bytes | None]
    """Key and value."""
    number: int
    timestamp_ms: int = 1_790_000_000_000

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.number

    def key(self) -> bytes | None:
        return self.stored[0]

    def value(self) -> bytes | None:
        return self.stored[1]

    def timestamp(self) -> tuple[int, int]:
        return (1, self.timestamp_ms)


def stored(values: Iterable[bytes | None]) -> list[Message]:
    """Return values as the messages of one partition, without keys."""
    return stored_pairs((None, value) for value in values)


def stored_pairs(pairs: Iterable[tuple[bytes | None, bytes | None]]) -> list[Message]:
    """Return keys and values as the messages of one partition."""
    return [cast("Message", StoredMessage(pair, number)) for number, pair in enumerate(pairs)]


class MemoryBroker:
    """A publisher and its topics, with transactions, in memory.

    Args:
        commits: how many commits succeed before one raises `Killed`.
    """

    def __init__(self, commits: int = 1_000) -> None:
        self.topics: dict[str, list[tuple[str, str]]] = {}
        self.topic_id = "topic-1"
        """The id of `raw_events`."""
        self.letters_topic = "letters-1"
        """The id of `raw_events_dead_letter`."""
        self._open: list[tuple[str, str, str]] = []
        self.commits_left = commits

    def begin(self) -> None:
        self._open = []

    def send(self, topic: str, keys: pl.Series, values: pl.Series) -> None:
        self._open += [(topic, key, value) for key, value in zip(keys, values, strict=True)]

    def commit(self) -> None:
        if not self.commits_left:
            raise Killed
        self.commits_left -= 1
        for topic, key, value in self._open:
            self.topics.setdefault(topic, []).append((key, value))

    def abort(self) -> None:
        self._open = []

    def close(self) -> None:
        self._open = []

    def progress_records(self) -> dict[str, Progress]:
        records = [Progress.from_json(value) for _, value in self.topics.get("ingest_progress", [])]
        return {record.source: record for record in records}
