"""How far each source has been ingested: records in the compacted topic `ingest_progress`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from customer_profiles.contracts import (
    PROGRESS,
    InvalidMessageError,
    InvalidMessages,
    Progress,
    decode_progress,
)
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.reader import read_topic

if TYPE_CHECKING:
    from confluent_kafka import Message

__all__ = ["Progress", "collect_progress", "new_source_name", "read_progress"]


def read_progress(
    config: KafkaConfig,
    *,
    wait_for_open_transactions: bool = False,
    on_wait: Callable[[], None] | None = None,
    invalid: InvalidMessages | None = None,
) -> dict[str, Progress]:
    """Read the newest record of every source.

    A message that is no progress record has no effect: an earlier record of its key remains.

    Args:
        config: where Kafka is.
        wait_for_open_transactions: as for `read_topic`.
        on_wait: as for `read_topic`.
        invalid: counts the messages that are no progress records.

    Returns:
        Records by the name of their source.

    Raises:
        PipelineError: Kafka does not answer, or a transaction stays open.
    """
    messages = read_topic(
        config,
        PROGRESS,
        wait_for_open_transactions=wait_for_open_transactions,
        on_wait=on_wait,
    )
    return collect_progress(
        messages, InvalidMessages(PROGRESS.name) if invalid is None else invalid
    )


def collect_progress(messages: Iterable[Message], invalid: InvalidMessages) -> dict[str, Progress]:
    """Decode the messages of the topic, whatever they hold.

    Args:
        messages: the messages of `ingest_progress`, in order.
        invalid: counts the messages that are no progress records.

    Returns:
        Records by the name of their source.
    """
    records: dict[str, Progress] = {}
    for message in messages:
        try:
            source, record = decode_progress(message.key(), message.value())
        except InvalidMessageError as error:
            invalid.add(message.partition(), message.offset(), error)
            continue
        if record is None:
            records.pop(source, None)
        else:
            records[source] = record
    return records


def new_source_name(file_name: str, known_names: Iterable[str]) -> str:
    """Return a name that no source has yet: `events.csv`, then `events.csv#2` and so on."""
    taken = set(known_names)
    number, name = 1, file_name
    while name in taken:
        number += 1
        name = f"{file_name}#{number}"
    return name
