"""How far a source has been ingested, as `ingest_progress` holds it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields

from customer_profiles.contracts.messages import (
    MAX_SOURCE_LENGTH,
    InvalidMessageError,
    is_count,
    is_name,
    read_object,
    shown,
)

NO_TOPIC = ""
"""The `topic_id` of a record whose rows are not all in a topic any more."""
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of one source, committed in the same transaction as the rows that it counts."""

    source: str
    """The file's name, with a number if another file of that name came before."""
    end: int
    """Decompressed bytes of the source that are in the topics."""
    digest: str
    """SHA-256 of those bytes. It recognises the source by its content, whatever its path."""
    read: int
    accepted: int
    dead_lettered: int
    duplicates: int
    updated_at: str
    """ISO 8601, UTC."""
    topic_id: str | None = None
    """Kafka's id of the topic `raw_events` that has the events; None in records of old versions.

    `NO_TOPIC` says that they are not all there any more."""

    def to_json(self) -> str:
        """Encode the record as the value of a message."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, data: bytes | str | None) -> Progress:
        """Decode a record from the value of a message. Unknown fields are dropped.

        Raises:
            InvalidMessageError: the data are not a progress record.
        """
        record = read_object(data)
        values = {name: record.get(name) for name in _NAMES}
        for name, value in values.items():
            if not _has_type(name, value):
                raise InvalidMessageError(f"not a progress record: {name} is {shown(value)}")
        return cls(**values)  # type: ignore[arg-type]


MAX_TOPIC_ID_LENGTH = 64
"""Kafka's ids have 22 characters."""
_NAMES = tuple(field.name for field in fields(Progress))


def _has_type(name: str, value: object) -> bool:
    if name == "digest":
        return isinstance(value, str) and _SHA256.fullmatch(value) is not None
    if name == "topic_id":
        return value is None or value == NO_TOPIC or is_name(value, MAX_TOPIC_ID_LENGTH)
    if name in ("source", "updated_at"):
        # A source's name is also the id of its transactions.
        return is_name(value, MAX_SOURCE_LENGTH)
    return is_count(value)


def decode_progress(key: bytes | None, value: bytes | None) -> tuple[str, Progress | None]:
    """Decode a message of `ingest_progress`.

    Args:
        key: the name of the source.
        value: the record; None is a tombstone, which deletes the record of its key.

    Returns:
        The name of the source, and its record.

    Raises:
        InvalidMessageError: the message is not a progress record of its key.
    """
    try:
        source = (key or b"").decode()
    except UnicodeDecodeError as error:
        raise InvalidMessageError(f"its key is not UTF-8: {error}") from error
    if value is None:
        return source, None
    record = Progress.from_json(value)
    if record.source != source:
        raise InvalidMessageError(f"not a progress record of its key: {shown(source)}")
    return source, record
