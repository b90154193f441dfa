"""Which dead letters were sent again, as `raw_events_replayed` holds it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass

from customer_profiles.contracts.messages import (
    MAX_SOURCE_LENGTH,
    InvalidMessageError,
    is_count,
    is_name,
    is_text,
    read_object,
    shown,
)
from customer_profiles.contracts.progress import MAX_TOPIC_ID_LENGTH, NO_TOPIC

_DEAD_LETTER_ID = re.compile(rb"\d{1,10}/\d{1,19}", re.ASCII)
_EVENT_ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Redriven:
    """A dead letter that was corrected and is done with."""

    event_id: str
    """The event that its row has become."""
    sent: bool
    """False if the event was in the topic already."""
    replayed_at: str
    """ISO 8601, UTC."""
    topic_id: str | None = None
    """Kafka's id of the topic that has the dead letter; None in records of old versions.

    A dead letter of another topic may have the same id, and is another one. `NO_TOPIC` says that
    the event was lost before anybody read it, so that the dead letter is open again."""
    source: str | None = None
    """The source of the row; None in records of old versions."""
    source_row: int | None = None
    """The number of the row in its source; None in records of old versions."""

    def to_json(self) -> str:
        """Encode the record as the value of a message."""
        return json.dumps(
            {name: value for name, value in asdict(self).items() if value is not None}
        )

    @classmethod
    def from_json(cls, data: bytes | str | None) -> Redriven:
        """Decode a record from the value of a message. Unknown fields are dropped.

        Raises:
            InvalidMessageError: the data are not such a record.
        """
        record = read_object(data)
        identity, sent, time = (record.get(name) for name in ("event_id", "sent", "replayed_at"))
        if not (isinstance(identity, str) and _EVENT_ID.fullmatch(identity)):
            raise InvalidMessageError(f"not a redriven record: event_id is {shown(identity)}")
        if not isinstance(sent, bool):
            raise InvalidMessageError(f"not a redriven record: sent is {shown(sent)}")
        if not isinstance(time, str) or not is_text(time):
            raise InvalidMessageError(f"not a redriven record: replayed_at is {shown(time)}")
        place = {name: record.get(name) for name in ("topic_id", "source", "source_row")}
        for name, value in place.items():
            if value is not None and not _can_be(name, value):
                raise InvalidMessageError(f"not a redriven record: {name} is {shown(value)}")
        return cls(identity, sent, time, **place)


def _can_be(name: str, value: object) -> bool:
    if name == "source_row":
        return is_count(value)
    if name == "topic_id":
        return value == NO_TOPIC or is_name(value, MAX_TOPIC_ID_LENGTH)
    return is_name(value, MAX_SOURCE_LENGTH)


def decode_redriven(key: bytes | None, value: bytes | None) -> tuple[str, Redriven | None]:
    """Decode a message of `raw_events_replayed`.

    Args:
        key: the id of the dead letter, `partition/offset`.
        value: the record; None is a tombstone, which makes the dead letter open again.

    Returns:
        The id of the dead letter, and its record.

    Raises:
        InvalidMessageError: the message does not keep the contract.
    """
    if key is None or not _DEAD_LETTER_ID.fullmatch(key):
        raise InvalidMessageError(f"its key is no dead-letter id: {shown(key)}")
    return key.decode(), None if value is None else Redriven.from_json(value)
