"""Read exact offset ranges and whole topics.

Both ways of reading share one poll loop. It does no work per message beyond what the caller needs,
because `read_range` feeds Spark's tasks with a hundred thousand messages a second.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from customer_profiles.common.clock import moment_of
from customer_profiles.contracts import RAW_EVENTS, Topic
from customer_profiles.kafka.admin import end_offsets
from customer_profiles.kafka.config import ANSWER_S, KafkaConfig
from customer_profiles.kafka.consumer import create_consumer
from customer_profiles.kafka.errors import BrokerUnavailableError, OffsetOutOfRangeError
from customer_profiles.kafka.publisher import TRANSACTION_S

STALL_S = 15.0
"""Longest silence while a range is read, in seconds. Spark tries a task four times, so a broker
that is away has a minute to come back."""
MAX_MESSAGES = 10_000
"""Most messages of one poll."""
POLL_S = 0.05
"""Longest time that one poll collects messages, in seconds."""
_OFFSET_IS_GONE = (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET)


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """A range of offsets of one partition: the work of one task."""

    partition: int
    start: int
    end: int
    """The offset after the last one of the range."""


class MessageBatch(NamedTuple):
    """Consecutive messages of one partition, as columns."""

    offsets: list[int]
    values: list[bytes | None]
    first_timestamp_ms: int
    """When the first message was produced, in milliseconds since 1970."""


def split_ranges(ranges: Mapping[int, tuple[int, int]], max_offsets: int) -> list[OffsetRange]:
    """Cut ranges into parts of nearly equal size.

    Args:
        ranges: start and end offset of each partition. Empty ranges give no part.
        max_offsets: most offsets of one part.
    """
    parts: list[OffsetRange] = []
    for partition, (start, end) in sorted(ranges.items()):
        length = end - start
        count = -(-length // max_offsets)
        parts += [
            OffsetRange(
                partition,
                start + length * number // count,
                start + length * (number + 1) // count,
            )
            for number in range(count)
        ]
    return parts


def read_range(
    config: KafkaConfig, offset_range: OffsetRange, topic: Topic = RAW_EVENTS
) -> Iterator[MessageBatch]:
    """Read every committed message of a range, in order, some thousands at a time.

    Transaction markers take up offsets without being messages. So the range ends at the first
    message beyond it, or at the end of the partition.

    Raises:
        BrokerUnavailableError: the broker stops sending.
        OffsetOutOfRangeError: the topic no longer has an offset of the range.
    """
    partition, start, end = offset_range.partition, offset_range.start, offset_range.end
    description = f"offsets {start} to {end - 1} of {topic.name}/{partition}"
    with closing(create_consumer(config, auto_offset_reset="error")) as consumer:
        consumer.assign([TopicPartition(topic.name, partition, start)])
        for messages, partition_ends in _poll(consumer, config, description, STALL_S):
            offsets: list[int] = [message.offset() for message in messages]  # type: ignore[misc]
            is_past_end = bool(offsets) and offsets[-1] >= end
            if is_past_end:
                inside = bisect_left(offsets, end)
                del offsets[inside:], messages[inside:]
            if offsets:
                values = [message.value() for message in messages]
                yield MessageBatch(offsets, values, messages[0].timestamp()[1])
            elif not (is_past_end or partition_ends):
                raise BrokerUnavailableError(
                    f"Kafka on {config.bootstrap_servers} sent nothing of {description} "
                    f"for {STALL_S:.0f} s.\n"
                    "Run `make status`, then the same command again: it goes on from here."
                )
            if is_past_end or any(offset >= end for _, offset in partition_ends):
                return


def read_topic(
    config: KafkaConfig,
    topic: Topic,
    *,
    wait_for_open_transactions: bool = False,
    on_wait: Callable[[], None] | None = None,
) -> Iterator[Message]:
    """Read every committed message of a topic. Each partition's messages come in order.

    Args:
        config: how to reach the brokers.
        topic: must exist.
        wait_for_open_transactions: read up to the topic's end as of now, and wait until no
            transaction is open before it. An open transaction, of any producer, hides everything
            that was committed after its first message.
        on_wait: called when the reader has to wait for an open transaction. If its producer is
            dead, the broker aborts the transaction after `TRANSACTION_S`.

    Raises:
        BrokerUnavailableError: the broker stops answering, or a transaction stays open.
        OffsetOutOfRangeError: the broker no longer has an offset that the reader asks for.
    """
    description = f"messages of {topic.name}"
    ends = end_offsets(config, topic) if wait_for_open_transactions else {}
    deadline = time.monotonic() + TRANSACTION_S + ANSWER_S
    unfinished = set(range(topic.partitions))
    with closing(create_consumer(config, auto_offset_reset="earliest")) as consumer:
        consumer.assign([TopicPartition(topic.name, number, 0) for number in sorted(unfinished)])
        for messages, partition_ends in _poll(consumer, config, description, ANSWER_S):
            yield from messages
            for partition, offset in partition_ends:
                if offset >= ends.get(partition, 0):
                    unfinished.discard(partition)
                elif on_wait:
                    on_wait()
            if not unfinished:
                return
            is_silent = not messages and not partition_ends
            if is_silent and not wait_for_open_transactions:
                raise BrokerUnavailableError(
                    f"Kafka on {config.bootstrap_servers} stopped answering. Run `make status`."
                )
            if wait_for_open_transactions and not messages and time.monotonic() > deadline:
                raise BrokerUnavailableError(
                    f"A transaction of another run stays open in {topic.name}. "
                    "Wait for that run, then run the command again."
                )


def produced_at(message: Message) -> datetime:
    """Return when a message was produced, in UTC, or the nearest time that a date can name."""
    return moment_of(message.timestamp()[1])


def _poll(
    consumer: Consumer, config: KafkaConfig, description: str, silence_s: float
) -> Iterator[tuple[list[Message], list[tuple[int, int]]]]:
    """Yield messages, and partitions whose end was reached with the end's offset.

    Both are empty after `silence_s` without a message or an end. The caller decides whether to
    continue. Errors that librdkafka retries by itself are skipped.

    Args:
        consumer: has its partitions assigned.
        config: how to reach the brokers, for error messages.
        description: what is read, for error messages.
        silence_s: the longest silence, in seconds.
    """
    last_arrival = time.monotonic()
    while True:
        polled = consumer.consume(MAX_MESSAGES, POLL_S) or consumer.consume(1, silence_s)
        messages = [message for message in polled if message.error() is None]
        partition_ends: list[tuple[int, int]] = []
        failures: list[KafkaError] = []
        if len(messages) < len(polled):
            for message in polled:
                error = message.error()
                if error is None:
                    continue
                if error.code() == KafkaError._PARTITION_EOF:
                    partition_ends.append((message.partition() or 0, message.offset() or 0))
                elif not error.retriable():
                    failures.append(error)
        if messages or partition_ends:
            # Before an error is raised: a caller that has all it needs stops here.
            yield messages, partition_ends
            # After the caller's own work, which is no silence of the broker.
            last_arrival = time.monotonic()
        elif not failures and (not polled or time.monotonic() - last_arrival >= silence_s):
            yield messages, partition_ends
        if failures:
            raise _read_error(failures[0], config, description)


def _read_error(
    error: KafkaError, config: KafkaConfig, description: str
) -> BrokerUnavailableError | OffsetOutOfRangeError:
    if error.code() in _OFFSET_IS_GONE:
        return OffsetOutOfRangeError(
            f"Kafka no longer has {description}: {error.str()}.\n"
            "Run the command again: it goes on with what is there, and says what is missing."
        )
    return BrokerUnavailableError(
        f"Kafka on {config.bootstrap_servers} cannot send {description}: {error.str()}.\n"
        "Run `make status`, then the same command again."
    )
