"""Validated types for settings.

A setting is text in the environment. Each type parses that text and raises a `ValueError` whose
message completes the sentence "NAME=value …". `PipelineSettings.from_env` joins these into
one error.

Example:
    >>> class Settings(PipelineSettings):
    ...     buckets: WholeNumber = Field(32, validation_alias="BUCKETS", description="…")
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated

from pydantic import BeforeValidator

_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_PERCENTAGE = re.compile(r"[0-9]{1,3}(\.[0-9]+)?")
_OFF = frozenset({"", "0", "no", "false"})


def _whole_number(value: object) -> int:
    number = _digits(value)
    if number is None or number < 1:
        raise ValueError("is not a whole number above 0")
    return number


def _port(value: object) -> int:
    number = _digits(value)
    if number is None or not 0 < number < 65_536:
        raise ValueError("is not a whole number from 1 to 65535")
    return number


def _digits(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() else None


def _seconds(value: object) -> float:
    if not _NUMBER.fullmatch(str(value)) or not float(str(value)):
        raise ValueError("is not a number of seconds above 0")
    return float(str(value))


def _percentage(value: object) -> float:
    text = str(value).removesuffix("%").strip()
    if not _PERCENTAGE.fullmatch(text) or float(text) > 100:
        raise ValueError("is not a percentage from 0 to 100")
    return float(text)


def _flag(value: object) -> bool:
    return str(value).strip().lower() not in _OFF


WholeNumber = Annotated[int, BeforeValidator(_whole_number)]
"""A whole number above 0."""
Port = Annotated[int, BeforeValidator(_port)]
"""A TCP port from 1 to 65535."""
Seconds = Annotated[float, BeforeValidator(_seconds)]
"""A number of seconds above 0."""
Percentage = Annotated[float, BeforeValidator(_percentage)]
"""A number from 0 to 100. The text may end in a percent sign."""
Flag = Annotated[bool, BeforeValidator(_flag)]
"""False for an empty text, 0, no and false in any case. True for everything else."""


def number_between(low: float, high: float) -> BeforeValidator:
    """Accept a decimal number from `low` to `high`.

    Use it as `Annotated[float, number_between(0.01, 64)]`.
    """

    def parse(value: object) -> float:
        if not _NUMBER.fullmatch(str(value)) or not low <= float(str(value)) <= high:
            raise ValueError(f"is not a number from {low:g} to {high:g}")
        return float(str(value))

    return BeforeValidator(parse)


def one_of(choices: Collection[str]) -> BeforeValidator:
    """Accept one of several texts.

    Use it as `Annotated[str, one_of(KAFKA_CLIENTS)]`.
    """

    def parse(value: object) -> str:
        if str(value) not in choices:
            raise ValueError(f"is none of {', '.join(choices)}")
        return str(value)

    return BeforeValidator(parse)
