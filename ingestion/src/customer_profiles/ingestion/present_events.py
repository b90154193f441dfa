"""Which of some events are in the topic `raw_events` already."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from customer_profiles.contracts import InvalidMessageError, InvalidMessages, decode_event

if TYPE_CHECKING:
    from confluent_kafka import Message

ID_LENGTH = 32
"""Characters of an `event_id`."""


def present_event_ids(
    messages: Iterable[Message], candidates: Collection[str], invalid: InvalidMessages
) -> Iterator[str]:
    """Yield the candidates that are events in the topic.

    Args:
        messages: the messages of `raw_events`.
        candidates: the ids of the events that may be sent.
        invalid: counts messages that were read and do not keep the contract.
    """
    prefix = b'{"event_id":"'
    for message in messages:
        value = message.value()
        # The encoding of `contracts.encode`: few messages have to be parsed.
        if value and value.startswith(prefix):
            identity = value[len(prefix) : len(prefix) + ID_LENGTH]
            if identity.decode(errors="replace") not in candidates:
                continue
        try:
            event = decode_event(value)
        except InvalidMessageError as error:
            invalid.add(message.partition(), message.offset(), error)
        else:
            if event["event_id"] in candidates:
                yield event["event_id"]
