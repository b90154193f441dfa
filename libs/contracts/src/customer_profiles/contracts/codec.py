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
from customer_profiles.contracts.rules import MAX_SOURCE_ROW, MESSAGE_LENGTHS, MESSAGE_PATTERNS

_EVENT_ID = re.compile(MESSAGE_PATTERNS["event_id"])
_SURROGATE = re.compile("[\ud800-\udfff]")


class InvalidMessageError(ValueError):
    """A message that breaks the contract. The text says where."""


def encode(message: Mapping[str, Any]) -> bytes:
    """Encode a message as compact JSON, with its fields in the order of `MESSAGE_FIELDS`."""
    ordered = {name: message[name] for name in MESSAGE_FIELDS}
    return json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode()


def decode(data: bytes) -> dict[str, Any]:
    """Decode a message and check the type of each field.

    `check` still has to decide whether the values are canonical. Unknown fields are dropped.

    Args:
        data: The value of a Kafka message.

    Returns:
        The fields of `MESSAGE_FIELDS`.

    Raises:
        InvalidMessageError: The data is not JSON, a field is missing or has another type, or the
            message has another schema version.
    """
    try:
        record = json.loads(data)
    except ValueError as error:
        raise InvalidMessageError(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise InvalidMessageError("not a JSON object")
    version = record.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InvalidMessageError(f"schema_version is {version!r}, not {SCHEMA_VERSION}")
    message: dict[str, Any] = {}
    for name in MESSAGE_FIELDS:
        value = record.get(name)
        if not _has_type(name, value):
            raise InvalidMessageError(f"{name} is {value!r}")
        message[name] = value
    return message


def _has_type(name: str, value: object) -> bool:
    if name in ("schema_version", "source_row"):
        # True is an int in Python, but not a number in JSON.
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        return is_integer and 1 <= value <= MAX_SOURCE_ROW  # type: ignore[operator]
    if value is None:
        return name in OPTIONAL_FIELDS
    # JSON can name half of a surrogate pair, which no other format can hold.
    if not isinstance(value, str) or _SURROGATE.search(value):
        return False
    if name == "event_id":
        shortest, longest = MESSAGE_LENGTHS[name]
        return shortest <= len(value) <= longest and bool(_EVENT_ID.fullmatch(value))
    # `check` reports an empty column as a missing one.
    return value != "" or name in COLUMNS
