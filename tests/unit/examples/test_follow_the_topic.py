"""The example that follows the topic, with a fake consumer."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import check, encode, event_id
from customer_profiles.contracts.rules import category_root
from examples.follow_the_topic import describe, read_events
from tests.support import row


class Failure:
    """Stands in for `confluent_kafka.KafkaError`."""

    def __init__(self, *, retriable: bool) -> None:
        self._retriable = retriable

    def retriable(self) -> bool:
        return self._retriable

    def str(self) -> str:
        return "the broker refuses"


class Message:
    """Stands in for `confluent_kafka.Message`."""

    def __init__(self, value: bytes | None = None, failure: Failure | None = None) -> None:
        self._value = value
        self._failure = failure

    def value(self) -> bytes | None:
        return self._value

    def error(self) -> Failure | None:
        return self._failure

    def partition(self) -> int:
        return 2

    def offset(self) -> int:
        return 7


class Consumer:
    """Returns some messages, then nothing."""

    def __init__(self, messages: Iterable[Message | None]) -> None:
        self._messages = iter(messages)

    def poll(self, timeout: float) -> Message | None:
        time.sleep(min(timeout, 0.001))
        return next(self._messages, None)


def message(**changes: str) -> Message:
    """Return an accepted row as a message of the topic."""
    values, reasons = check(row(**changes))
    assert not reasons
    fields: dict[str, Any] = {
        **values,
        "event_id": event_id(values),
        "category_root": category_root(values["category_code"]),
        "schema_version": 1,
        "source": "events.csv",
        "source_row": 1,
    }
    return Message(encode(fields))


def test_reading_ends_after_the_maximum_number_of_events() -> None:
    consumer = Consumer([message(user_id=str(number)) for number in range(1, 9)])
    events = read_events(consumer, seconds=60, max_events=3)
    assert [event["user_id"] for event in events] == ["1", "2", "3"]


def test_reading_ends_when_the_time_is_up() -> None:
    consumer = Consumer([None, message(user_id="1")])
    events = read_events(consumer, seconds=0.1, max_events=20)
    assert [event["user_id"] for event in events] == ["1"]


def test_invalid_messages_are_skipped_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    consumer = Consumer([Message(b"{}"), Message(None), message(user_id="1")])
    events = read_events(consumer, seconds=60, max_events=1)
    assert [event["user_id"] for event in events] == ["1"]
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 2
    assert "partition 2, offset 7" in warnings[0]


def test_a_retriable_error_does_not_end_reading() -> None:
    consumer = Consumer([Message(failure=Failure(retriable=True)), message(user_id="1")])
    assert len(list(read_events(consumer, seconds=60, max_events=1))) == 1


def test_any_other_error_is_raised_with_the_next_action() -> None:
    consumer = Consumer([Message(failure=Failure(retriable=False))])
    with pytest.raises(PipelineError, match=r"the broker refuses\.\nRun `make status`"):
        list(read_events(consumer, seconds=60, max_events=1))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"brand": "samsung", "price": "31.9"},
            "2020-09-24T11:57:06Z  view              customer 1515915625519388267  "
            "electronics.telephone by samsung, 31.90",
        ),
        (
            {"event_type": "remove_from_cart", "category_code": ""},
            "2020-09-24T11:57:06Z  remove_from_cart  customer 1515915625519388267  "
            "product 1996170, 31.90",
        ),
    ],
)
def test_an_event_is_described_in_one_line(changes: dict[str, str], expected: str) -> None:
    (event,) = read_events(Consumer([message(**changes)]), seconds=60, max_events=1)
    assert describe(event) == expected
