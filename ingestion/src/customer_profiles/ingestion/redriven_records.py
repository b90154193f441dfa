"""Which dead letters were redriven, whichever topic they were in."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from customer_profiles.contracts import (
    InvalidMessageError,
    InvalidMessages,
    Redriven,
    decode_redriven,
)
from customer_profiles.contracts.progress import NO_TOPIC

if TYPE_CHECKING:
    from confluent_kafka import Message

CLOCKS_DIFFER = timedelta(minutes=5)
"""How far the clocks of two programs may be apart."""


def is_about(record: Redriven, letters_topic: str | None, produced: datetime) -> bool:
    """Tell whether a record is about a dead letter, and not about one of an earlier topic.

    If the topic of dead letters was made anew, its letters have the ids of older ones.

    Args:
        record: the record of that id.
        letters_topic: Kafka's id of the topic of dead letters; None if unknown.
        produced: when the dead letter was produced.
    """
    if record.topic_id == NO_TOPIC:
        return False
    if None not in (record.topic_id, letters_topic):
        return record.topic_id == letters_topic
    try:
        # Old versions did not note the topic. Nobody redrives a letter that is not there yet.
        return datetime.fromisoformat(record.replayed_at) > produced - CLOCKS_DIFFER
    except (TypeError, ValueError, OverflowError):
        return True


def read_records(messages: Iterable[Message], invalid: InvalidMessages) -> dict[str, Redriven]:
    """Return the records of the dead letters that were sent again, by their ids.

    Args:
        messages: the messages of `raw_events_replayed`, in order.
        invalid: counts the messages that are no such records.
    """
    records: dict[str, Redriven] = {}
    for message in messages:
        try:
            dead_letter_id, record = decode_redriven(message.key(), message.value())
        except InvalidMessageError as error:
            invalid.add(message.partition(), message.offset(), error)
            continue
        if record is None:
            records.pop(dead_letter_id, None)
        else:
            records[dead_letter_id] = record
    return records
