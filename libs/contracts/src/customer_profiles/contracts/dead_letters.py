"""Dead letters: rows and messages that are not events, as `raw_events_dead_letter` holds them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from customer_profiles.contracts.event import SCHEMA_VERSION
from customer_profiles.contracts.messages import (
    MAX_SOURCE_LENGTH,
    InvalidMessageError,
    is_count,
    is_name,
    is_text,
    read_object,
    shown,
)
from customer_profiles.contracts.topics import DEAD_LETTERS

BREAKS_CONTRACT = "breaks_contract"
"""The reason of an invalid message, which some other program published to `raw_events`."""
NO_DEAD_LETTER = "no_dead_letter"
"""The reason of a message in `raw_events_dead_letter` that is not a dead letter."""

MAX_REASONS = 100
"""Reasons of one letter. There are about twenty."""
MAX_REASON_LENGTH = 200
"""Characters of one reason."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What was rejected, where it was and why."""

    source: str
    """The source of a row, or the topic and partition of a message."""
    source_row: int
    """The number of the row in its source, or the offset of the message."""
    reasons: list[str]
    """All reasons: values of `contracts.Reason`, or `BREAKS_CONTRACT`."""
    text: str
    """The original line or message. Bytes that are not UTF-8 are written as \\xe9."""
    columns: list[str] | None = None
    """The columns of a row, in the order of its source. None for a message."""
    detail: str | None = None
    """How a message breaks the contract. None for a row."""
    schema_version: int = SCHEMA_VERSION
    separator: str = ","
    """The character between two fields of a row. A stored letter has this field only if needed."""

    def to_json(self) -> str:
        """Encode the letter as the value of a Kafka message."""
        record = asdict(self)
        if self.separator == ",":
            del record["separator"]
        return json.dumps(record, ensure_ascii=False)

    @classmethod
    def from_json(cls, data: bytes | str | None) -> DeadLetter:
        """Decode a letter. Unknown fields are dropped.

        Raises:
            InvalidMessageError: The data are not JSON, a field that every letter has is missing, or
                a field has another type.
        """
        record = read_object(data)
        values = {name: record.get(name) for name in _NAMES}
        values["separator"] = values["separator"] or ","
        for name, value in values.items():
            if not _has_type(name, value):
                raise InvalidMessageError(f"not a dead letter: {name} is {shown(value)}")
        return cls(**values)  # type: ignore[arg-type]


_NAMES = ("source", "source_row", "reasons", "text", "columns", "detail", "separator")


def _has_type(name: str, value: Any) -> bool:
    if name == "source_row":
        return is_count(value)
    if name == "reasons":
        return (
            isinstance(value, list)
            and 0 < len(value) <= MAX_REASONS
            and all(is_name(reason, MAX_REASON_LENGTH) for reason in value)
        )
    if name == "source":
        return is_text(value) and len(value) <= MAX_SOURCE_LENGTH
    if name == "columns":
        return value is None or (isinstance(value, list) and all(map(is_text, value)))
    if name == "separator":
        # What Python's CSV reader takes.
        return is_text(value) and len(value) == 1 and value not in '\r\n"\0 '
    return is_text(value) or (name == "detail" and value is None)


def decode_dead_letter(value: bytes | None, offset: int) -> tuple[DeadLetter, str | None]:
    """Decode a message of `raw_events_dead_letter`, whatever it holds.

    Args:
        value: the value of the message.
        offset: its offset.

    Returns:
        The letter, and None. A message that is no dead letter becomes one of the reason
        `NO_DEAD_LETTER` with the topic as its source, so that it is listed and counted; then the
        second value says what is wrong with it.
    """
    try:
        return DeadLetter.from_json(value), None
    except InvalidMessageError as error:
        text = (value or b"").decode(errors="backslashreplace")
        detail = str(error)
        letter = DeadLetter(DEAD_LETTERS.name, offset, [NO_DEAD_LETTER], text, detail=detail)
        return letter, detail
