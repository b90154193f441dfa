"""The event as a message in `raw_events`: compact JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from customer_profiles.contracts.event import (
    COLUMNS,
    MESSAGE_FIELDS,
    OPTIONAL_FIELDS,
    SCHEMA_VERSION,
)
from customer_profiles.contracts.limits import MAX_SOURCE_ROW
from customer_profiles.contracts.messages import (
    InvalidMessageError,
    is_count,
    is_text,
    read_object,
    shown,
)
from customer_profiles.contracts.rules import MESSAGE_LENGTHS, MESSAGE_PATTERNS, check

_EVENT_ID = re.compile(MESSAGE_PATTERNS["event_id"])


def encode(message: Mapping[str, Any]) -> bytes:
    """Encode a message as compact JSON, with its fields in the order of `MESSAGE_FIELDS`."""
    ordered = {name: message[name] for name in MESSAGE_FIELDS}
    return json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode()


def decode(data: bytes | None) -> dict[str, Any]:
    """Decode a message and check the type of each field.

    Unknown fields are dropped. `decode_event` also checks the values.

    Args:
        data: The value of a Kafka message; None is a tombstone.

    Returns:
        The fields of `MESSAGE_FIELDS`.

    Raises:
        InvalidMessageError: The data is not JSON, a field is missing or has another type, or the
            message has another schema version.
    """
    record = read_object(data)
    version = record.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InvalidMessageError(f"schema_version is {shown(version)}, not {SCHEMA_VERSION}")
    message: dict[str, Any] = {}
    for name in MESSAGE_FIELDS:
        value = record.get(name)
        if not _has_type(name, value):
            raise InvalidMessageError(f"{name} is {shown(value)}")
        message[name] = value
    return message


def decode_event(data: bytes | None) -> dict[str, Any]:
    """Decode a message and check that its values are those of an event, in their canonical form.

    Args:
        data: The value of a Kafka message; None is a tombstone.

    Returns:
        The fields of `MESSAGE_FIELDS`.

    Raises:
        InvalidMessageError: The message breaks the contract.
    """
    message = decode(data)
    canonical, reasons = check(message)
    if reasons:
        raise InvalidMessageError(", ".join(reasons))
    if canonical != {column: message[column] for column in COLUMNS}:
        raise InvalidMessageError("values are not in their canonical form")
    return message


def _has_type(name: str, value: object) -> bool:
    if name in ("schema_version", "source_row"):
        return is_count(value) and 1 <= value <= MAX_SOURCE_ROW
    if value is None:
        return name in OPTIONAL_FIELDS
    if not isinstance(value, str) or not is_text(value):
        return False
    if name == "event_id":
        shortest, longest = MESSAGE_LENGTHS[name]
        return shortest <= len(value) <= longest and bool(_EVENT_ID.fullmatch(value))
    # `check` reports an empty column as a missing one.
    return value != "" or name in COLUMNS
