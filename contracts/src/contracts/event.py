"""The event as a row and as a message in `raw_events`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

SCHEMA_VERSION = 1

COLUMNS = (
    "event_time",
    "event_type",
    "product_id",
    "category_id",
    "category_code",
    "brand",
    "price",
    "user_id",
    "user_session",
)
"""The columns of a source, in the order in which REES46 publishes them."""

EVENT_TYPES = ("view", "cart", "remove_from_cart", "purchase")

MESSAGE_FIELDS = ("event_id", *COLUMNS, "category_root", "schema_version", "source", "source_row")
"""The fields of a message, in order. All are strings or null, but `schema_version` and `source_row`."""

OPTIONAL_FIELDS = frozenset({"category_id", "category_code", "brand", "category_root"})
"""Fields that may be null: a quarter of real rows has no category code or brand."""

SEPARATOR = "\x1f"
"""Stands between the values under `event_id`: the ASCII unit separator, which the rules keep out of values."""


MOST_ROWS = 10**15 - 1
"""Of one source."""

_EVENT_ID = re.compile("[0-9a-f]{32}")
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


class InvalidMessage(ValueError):
    """A message that does not keep the contract; the text says where."""


def event_id(values: Mapping[str, str | None]) -> str:
    """The identity of an event: 32 hexadecimal digits that depend on its nine values alone.

    The first 128 bits of SHA-256 over the values of `COLUMNS` as they stand in the message, null as
    the empty text, joined by `SEPARATOR`. The same row has the same id on every machine, for ever.
    """
    text = SEPARATOR.join(values[column] or "" for column in COLUMNS)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def encode(message: Mapping[str, Any]) -> bytes:
    """A message as compact JSON, fields in the order of `MESSAGE_FIELDS`."""
    ordered = {name: message[name] for name in MESSAGE_FIELDS}
    return json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode()


def decode(data: bytes) -> dict[str, Any]:
    """A message from JSON; fields that this version does not know are left out.

    Raises:
        InvalidMessage: not JSON, a field missing, of another type or of a newer schema.
    """
    try:
        found = json.loads(data)
    except ValueError as error:
        raise InvalidMessage(f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidMessage("not a JSON object")
    if found.get("schema_version") != SCHEMA_VERSION:
        raise InvalidMessage(f"schema_version is {found.get('schema_version')!r}, not {SCHEMA_VERSION}")
    message: dict[str, Any] = {}
    for name in MESSAGE_FIELDS:
        value = found.get(name)
        if name in ("schema_version", "source_row"):
            fits = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_ROWS
        elif name == "event_id":
            fits = isinstance(value, str) and bool(_EVENT_ID.fullmatch(value))
        else:
            fits = name in OPTIONAL_FIELDS if value is None else _is_text(value) and (value != "" or name in COLUMNS)
        if not fits:
            raise InvalidMessage(f"{name} is {value!r}")
        message[name] = value
    return message


def _is_text(value: object) -> bool:
    """JSON can name halves of characters, which no other format can hold."""
    return isinstance(value, str) and not _HALF_CHARACTER.search(value)
