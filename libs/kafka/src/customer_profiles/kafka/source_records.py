"""What `ingest_progress` says about sources, for programs that do not ingest.

A record of ingestion says how much of a source is in `raw_events`. It counts only for the topic
whose id it has. A record that is marked as lost has an id that no topic has, so ingestion sends
the source again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from customer_profiles.contracts import PROGRESS, InvalidMessageError, decode_progress
from customer_profiles.contracts.progress import NO_TOPIC
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.producer import publish_records
from customer_profiles.kafka.reader import read_topic

if TYPE_CHECKING:
    from confluent_kafka import Message

__all__ = ["NO_TOPIC", "SourceRecord", "mark_lost", "read_sources"]


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """The newest progress record of one source."""

    source: str
    accepted: int
    """Rows that were sent as events."""
    content: Mapping[str, Any]
    """The whole record."""


def read_sources(config: KafkaConfig) -> dict[str, SourceRecord]:
    """Read the newest record of every source. What is no record is left out.

    Raises:
        BrokerUnavailableError: the broker does not answer, or there is no such topic.
    """
    records = (_decode(message) for message in read_topic(config, PROGRESS))
    return {record.source: record for record in records if record is not None}


def mark_lost(config: KafkaConfig, records: Iterable[SourceRecord]) -> None:
    """Let the next ingestion of some sources send all of their rows again.

    The record is written as ingestion writes it, in a transaction of the source. An ingestion that
    is under way is fenced by that, so it cannot write over the mark: its rows would be incomplete.

    Raises:
        DeliveryError: the broker does not accept the records.
    """
    for record in records:
        value = json.dumps({**record.content, "topic_id": NO_TOPIC})
        publish_records(config, record.source, PROGRESS.name, {record.source: value})


def _decode(message: Message) -> SourceRecord | None:
    try:
        _, record = decode_progress(message.key(), message.value())
    except InvalidMessageError:
        # Ingestion counts and names it.
        return None
    return SourceRecord(record.source, record.accepted, asdict(record)) if record else None
