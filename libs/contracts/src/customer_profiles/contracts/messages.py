"""What the decoders of all topics share.

Anyone can publish to a topic, so a message may hold anything: no JSON, endless nesting, numbers
without end, half a character. Each decoder either returns what the contract describes or raises
`InvalidMessageError`, and nothing else. Who reads a topic counts the invalid messages, notes where
they are, and goes on.
"""

from __future__ import annotations

import json
import re
import reprlib
from dataclasses import dataclass, field
from typing import Any, TypeGuard

MAX_INTEGER = 2**63 - 1
"""The largest number in a message. Every store holds it."""
MAX_SOURCE_LENGTH = 5_000
"""Characters of a source's name. An escaped file name takes up to a thousand."""
MAX_EXAMPLES = 5
"""How many invalid messages are named; all are counted."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_shorten = reprlib.Repr()
_shorten.maxstring = _shorten.maxother = _shorten.maxlong = 80


class InvalidMessageError(ValueError):
    """A message that breaks the contract. The text says where."""


@dataclass(slots=True)
class InvalidMessages:
    """The messages of a topic that break its contract: counted, and the first of them named."""

    topic: str
    count: int = 0
    examples: list[str] = field(default_factory=list)
    """`topic/partition/offset: why`, of the first `MAX_EXAMPLES`."""

    def add(self, partition: int | None, offset: int | None, why: object) -> None:
        """Count one message; `why` is what is wrong with it."""
        self.count += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(f"{self.topic}/{partition}/{offset}: {why}")

    def __str__(self) -> str:
        """Describe all of them in a line."""
        messages = "1 message" if self.count == 1 else f"{self.count:,} messages"
        return f"{messages} in {self.topic} without a meaning; the first is {self.examples[0]}"


def read_object(data: bytes | str | None) -> dict[str, Any]:
    """Parse the JSON object of a message.

    Args:
        data: the value of a message; None is a tombstone.

    Raises:
        InvalidMessageError: the data are not a JSON object, or one that cannot be read.
    """
    if data is None:
        raise InvalidMessageError("it has no value")
    try:
        record = json.loads(data)
    except RecursionError as error:
        raise InvalidMessageError("not JSON: nested too deeply") from error
    except ValueError as error:
        raise InvalidMessageError(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise InvalidMessageError("not a JSON object")
    return record


def is_text(value: object) -> TypeGuard[str]:
    """Return whether a value is text that every store and terminal can take as UTF-8."""
    # JSON can name half of a surrogate pair, which no other format can hold.
    return isinstance(value, str) and not _SURROGATE.search(value)


def is_count(value: object) -> TypeGuard[int]:
    """Return whether a value is a whole number from 0 to `MAX_INTEGER`."""
    # True is an int in Python, but not a number in JSON.
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return is_integer and 0 <= value <= MAX_INTEGER  # type: ignore[operator]


def is_name(value: object, max_length: int) -> TypeGuard[str]:
    """Return whether a value can name something: short text without control characters."""
    return is_text(value) and 0 < len(value) <= max_length and not _CONTROL.search(value)


def shown(value: object) -> str:
    """Describe any value in a few words, however large or deep it is."""
    return _shorten.repr(value).encode(errors="backslashreplace").decode()
