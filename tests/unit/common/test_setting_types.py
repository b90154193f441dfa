from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from customer_profiles.common.setting_types import (
    Flag,
    Percentage,
    Port,
    Seconds,
    WholeNumber,
    number_between,
    one_of,
)

Block = Annotated[float, number_between(0.01, 64)]
Client = Annotated[str, one_of(("librdkafka", "kafka-python"))]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (WholeNumber, "1", 1),
        (WholeNumber, "1000000", 1_000_000),
        (WholeNumber, 7, 7),
        (Port, "65535", 65_535),
        (Seconds, "2", 2.0),
        (Seconds, "0.5", 0.5),
        (Percentage, "5", 5.0),
        (Percentage, "5 %", 5.0),
        (Percentage, "99.5%", 99.5),
        (Percentage, "0", 0.0),
        (Percentage, 100.0, 100.0),
        (Flag, "1", True),
        (Flag, "yes", True),
        (Flag, "0", False),
        (Flag, " No ", False),
        (Flag, "FALSE", False),
        (Flag, "", False),
        (Flag, True, True),
        (Flag, False, False),
        (Block, "0.01", 0.01),
        (Block, "64", 64.0),
        (Client, "librdkafka", "librdkafka"),
    ],
)
def test_a_value_is_parsed(kind: Any, text: object, value: object) -> None:
    parsed = TypeAdapter(kind).validate_python(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        (WholeNumber, "0", "is not a whole number above 0"),
        (WholeNumber, "-1", "is not a whole number above 0"),
        (WholeNumber, "1.5", "is not a whole number above 0"),
        (WholeNumber, "²", "is not a whole number above 0"),
        (WholeNumber, "many", "is not a whole number above 0"),
        (Port, "0", "is not a whole number from 1 to 65535"),
        (Port, "65536", "is not a whole number from 1 to 65535"),
        (Seconds, "0", "is not a number of seconds above 0"),
        (Seconds, "0.0", "is not a number of seconds above 0"),
        (Seconds, "nan", "is not a number of seconds above 0"),
        (Seconds, "1e3", "is not a number of seconds above 0"),
        (Percentage, "101", "is not a percentage from 0 to 100"),
        (Percentage, "-1", "is not a percentage from 0 to 100"),
        (Percentage, "five", "is not a percentage from 0 to 100"),
        (Block, "0", "is not a number from 0.01 to 64"),
        (Block, "65", "is not a number from 0.01 to 64"),
        (Block, "big", "is not a number from 0.01 to 64"),
        (Client, "carrier-pigeon", "is none of librdkafka, kafka-python"),
    ],
)
def test_a_malformed_value_is_refused(kind: Any, text: str, reason: str) -> None:
    with pytest.raises(ValidationError) as failure:
        TypeAdapter(kind).validate_python(text)
    assert str(failure.value.errors()[0]["ctx"]["error"]) == reason
