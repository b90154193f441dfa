"""Reading exact offset ranges and whole topics from a fake consumer with a script."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message

from customer_profiles.contracts import Topic
from customer_profiles.kafka import reader
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.consumer import create_consumer
from customer_profiles.kafka.errors import BrokerUnavailableError, OffsetOutOfRangeError
from customer_profiles.kafka.reader import OffsetRange, read_range, read_topic, split_ranges
from tests.unit.kafka.fake_consumer import (
    PRODUCED_MS,
    FakeConsumer,
    failure,
    message,
    messages,
    partition_end,
)

CONFIG = KafkaConfig("broker:9092")
ONE_PARTITION = Topic("raw_events", 1)
TWO_PARTITIONS = Topic("raw_events", 2)
SILENCE: list[Message] = []
RETRIED = [failure(KafkaError._TRANSPORT, retriable=True)]


class Clock:
    """Time that passes only while a consumer is polled."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(reader, "time", clock)
    return clock


class Script:
    """Installs a consumer that follows a script, and records how it was created."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
        self._monkeypatch = monkeypatch
        self._clock = clock
        self.resets: list[str] = []
        self.seconds_per_poll = 0.0

    def __call__(self, *polls: list[Message]) -> FakeConsumer:
        consumer = FakeConsumer(self._play(list(polls)))

        def create(config: KafkaConfig, auto_offset_reset: str) -> FakeConsumer:
            assert config == CONFIG
            self.resets.append(auto_offset_reset)
            return consumer

        self._consumer = consumer
        self._monkeypatch.setattr(reader, "create_consumer", create)
        return consumer

    def _play(self, polls: list[list[Message]]) -> Iterator[list[Message]]:
        for poll in polls:
            self._clock.now += self.seconds_per_poll if poll else self._consumer.timeouts[-1]
            yield poll


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Script:
    return Script(monkeypatch, clock)


def offsets(start: int, end: int) -> list[int]:
    """Return the offsets that reading a range yields."""
    batches = read_range(CONFIG, OffsetRange(0, start, end))
    return [offset for batch in batches for offset in batch.offsets]


@pytest.mark.parametrize(
    ("ranges", "max_offsets", "expected"),
    [
        (
            {0: (0, 10), 1: (5, 5), 2: (3, 6)},
            4,
            [
                OffsetRange(0, 0, 3),
                OffsetRange(0, 3, 6),
                OffsetRange(0, 6, 10),
                OffsetRange(2, 3, 6),
            ],
        ),
        ({1: (0, 2), 0: (7, 9)}, 2, [OffsetRange(0, 7, 9), OffsetRange(1, 0, 2)]),
        ({0: (0, 2)}, 1, [OffsetRange(0, 0, 1), OffsetRange(0, 1, 2)]),
        ({}, 4, []),
    ],
)
def test_split_ranges_cover_every_offset_once(
    ranges: dict[int, tuple[int, int]], max_offsets: int, expected: list[OffsetRange]
) -> None:
    assert split_ranges(ranges, max_offsets) == expected


def test_a_range_is_read_as_columns(script: Script) -> None:
    consumer = script(messages(5, 6), messages(8), [partition_end(9)])
    first, second = read_range(CONFIG, OffsetRange(0, 5, 9))
    assert first == ([5, 6], [b"value 5", b"value 6"], PRODUCED_MS + 5)
    assert second == ([8], [b"value 8"], PRODUCED_MS + 8)
    assert consumer.assigned == [("raw_events", 0, 5)]
    assert script.resets == ["error"]
    assert consumer.is_closed


@pytest.mark.parametrize(
    ("polls", "expected"),
    [
        ([messages(3, 4, 5, 6)], [3, 4]),
        ([messages(3), messages(7)], [3]),
        ([messages(5)], []),
        ([[*messages(3, 4), partition_end(5)]], [3, 4]),
        ([messages(3, 4), [partition_end(6)]], [3, 4]),
        ([[partition_end(5)]], []),
    ],
    ids=[
        "a message beyond, in the same poll",
        "a message beyond, after a transaction marker",
        "only a message beyond",
        "the partition's end, in the same poll",
        "the partition's end, after a transaction marker",
        "only aborted messages",
    ],
)
def test_reading_stops_at_the_end_of_the_range(
    script: Script, polls: list[list[Message]], expected: list[int]
) -> None:
    script(*polls)
    assert offsets(3, 5) == expected


def test_reading_waits_if_the_partition_ends_before_the_range(script: Script) -> None:
    script([message(3), partition_end(4)], SILENCE, messages(4), messages(5))
    assert offsets(3, 5) == [3, 4]


@pytest.mark.parametrize("code", [KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET])
def test_deleted_offsets_are_an_error(script: Script, code: int) -> None:
    consumer = script([failure(code)])
    with pytest.raises(OffsetOutOfRangeError, match="offsets 3 to 4 of raw_events/0: reason"):
        offsets(3, 5)
    assert consumer.is_closed


def test_a_silent_broker_is_an_error(script: Script) -> None:
    consumer = script(messages(3), SILENCE, SILENCE)
    with pytest.raises(BrokerUnavailableError, match=r"for 15 s\.\nRun `make status`"):
        offsets(3, 5)
    assert consumer.timeouts == [0.05, 0.05, 15]


def test_retriable_errors_are_skipped(script: Script) -> None:
    script(RETRIED, messages(3), RETRIED, messages(4, 5))
    assert offsets(3, 5) == [3, 4]


def test_retriable_errors_do_not_hide_a_silent_broker(script: Script) -> None:
    script.seconds_per_poll = 25
    script(messages(3), RETRIED, RETRIED, RETRIED)
    with pytest.raises(BrokerUnavailableError, match="sent nothing"):
        offsets(3, 5)


def test_other_errors_are_raised_with_the_next_action(script: Script) -> None:
    script([failure(KafkaError.TOPIC_AUTHORIZATION_FAILED)])
    with pytest.raises(BrokerUnavailableError, match=r"cannot send .* reason 29(.|\n)*make status"):
        offsets(3, 5)


def test_an_error_after_the_end_of_a_range_is_ignored(script: Script) -> None:
    script([*messages(3, 4, 5), failure(KafkaError.TOPIC_AUTHORIZATION_FAILED)])
    assert offsets(3, 5) == [3, 4]


def test_a_topic_is_read_up_to_the_end_of_every_partition(script: Script) -> None:
    consumer = script(
        [message(0), message(4, partition=1), partition_end(5, partition=1)],
        [message(1), partition_end(2)],
    )
    read = list(read_topic(CONFIG, TWO_PARTITIONS))
    assert [(received.partition(), received.offset()) for received in read] == [
        (0, 0),
        (1, 4),
        (0, 1),
    ]
    assert consumer.assigned == [("raw_events", 0, 0), ("raw_events", 1, 0)]
    assert script.resets == ["earliest"]
    assert consumer.is_closed


def test_a_broker_that_stops_sending_a_topic_is_an_error(script: Script) -> None:
    consumer = script(messages(0), SILENCE, SILENCE)
    with pytest.raises(BrokerUnavailableError, match="stopped answering"):
        list(read_topic(CONFIG, ONE_PARTITION))
    assert consumer.timeouts[-1] == 10
    assert consumer.is_closed


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "end_offsets", lambda *_: {0: 8})


@pytest.mark.usefixtures("ends")
def test_reading_waits_for_an_open_transaction(script: Script) -> None:
    script([*messages(0, 1), partition_end(2)], SILENCE, SILENCE, [message(6), partition_end(8)])
    waits: list[str] = []
    read = read_topic(
        CONFIG,
        ONE_PARTITION,
        wait_for_open_transactions=True,
        on_wait=lambda: waits.append("open"),
    )
    assert [received.offset() for received in read] == [0, 1, 6]
    assert waits == ["open"]


@pytest.mark.usefixtures("ends")
def test_a_transaction_that_stays_open_is_an_error(script: Script) -> None:
    script([*messages(0, 1), partition_end(2)], *[SILENCE] * 16)
    with pytest.raises(BrokerUnavailableError, match="stays open in raw_events"):
        list(read_topic(CONFIG, ONE_PARTITION, wait_for_open_transactions=True))


def test_closing_a_reader_early_closes_its_consumer(script: Script) -> None:
    consumer = script(messages(3), messages(4))
    batches = read_range(CONFIG, OffsetRange(0, 3, 9))
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert consumer.is_closed


@pytest.mark.parametrize("reset", ["error", "earliest"])
def test_librdkafka_accepts_the_settings_of_consumers(reset: Any) -> None:
    create_consumer(CONFIG, reset).close()
