"""Follow the topic `raw_events` and print each event.

Run it from the project's folder, with `make simulate` or `make ingest` in another terminal:

    python -m examples.follow_the_topic --seconds 60

The script reads committed messages only and commits no offsets, so it disturbs nobody. Kafka's
address and account come from `.env`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaException, TopicPartition

from customer_profiles.common.cli import run_command
from customer_profiles.common.console import printable, write_line
from customer_profiles.common.errors import PipelineError
from customer_profiles.common.settings import KafkaSettings, load_environ
from customer_profiles.contracts import RAW_EVENTS, InvalidMessageError, decode_event
from customer_profiles.kafka.config import KafkaConfig

ANSWER_S = 10.0
"""How long the broker may take to answer."""


class Poller(Protocol):
    """The part of `confluent_kafka.Consumer` that `read_events` needs."""

    def poll(self, timeout: float) -> Any:
        """Return the next message, or None if there is none within so many seconds."""


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Print events until the time is up or enough of them were printed.

    Args:
        arguments: of the command line, without the program's name.
        environ: the settings; those of `.env` and the environment by default.

    Returns:
        The exit status.

    Raises:
        PipelineError: the settings are not usable, or Kafka does not answer.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="stop after so long (default: 30)"
    )
    parser.add_argument(
        "--max", type=int, default=20, help="stop after so many events (default: 20)"
    )
    parser.add_argument("--from-beginning", action="store_true", help="start with the oldest event")
    options = parser.parse_args(arguments)

    environ = load_environ() if environ is None else environ
    client_settings = KafkaConfig.from_settings(KafkaSettings.from_env(environ)).client_settings()
    consumer = open_consumer(client_settings, options.from_beginning)
    try:
        count = 0
        for event in read_events(consumer, options.seconds, options.max):
            write_line(printable(describe(event)))
            count += 1
    finally:
        consumer.close()
    print(f"{count:,} events")
    return 0


def open_consumer(client_settings: Mapping[str, str], from_beginning: bool) -> Consumer:
    """Open a consumer at the beginning or the end of every partition.

    Assigning partitions, rather than subscribing, needs no consumer group and starts at once.

    Raises:
        PipelineError: Kafka does not answer, or the topic does not exist.
    """
    consumer = Consumer(
        {
            **client_settings,
            "group.id": "example",
            "enable.auto.commit": False,
            # Rows of a transaction that was aborted, or is still open, are not events.
            "isolation.level": "read_committed",
        }
    )
    try:
        topics = consumer.list_topics(RAW_EVENTS.name, timeout=ANSWER_S).topics
        partitions = [
            TopicPartition(RAW_EVENTS.name, number) for number in topics[RAW_EVENTS.name].partitions
        ]
        if not partitions:
            raise PipelineError(
                f"There is no topic {RAW_EVENTS.name} yet.\nRun `make ingest` first."
            )
        for partition in partitions:
            low, high = consumer.get_watermark_offsets(partition, timeout=ANSWER_S)
            partition.offset = low if from_beginning else high
        consumer.assign(partitions)
    except (KafkaException, PipelineError) as error:
        consumer.close()
        if isinstance(error, PipelineError):
            raise
        raise PipelineError(
            f"Kafka does not answer on {client_settings['bootstrap.servers']}: {error}.\n"
            "Run `make up` to start the stack, or `make status` to see what runs."
        ) from error
    return consumer


def read_events(consumer: Poller, seconds: float, max_events: int) -> Iterator[dict[str, Any]]:
    """Yield decoded events until the time is up or there were enough of them.

    Messages that break the contract are skipped with a warning: anyone can publish to a topic.

    Args:
        consumer: has its partitions assigned.
        seconds: how long to read.
        max_events: how many events to yield at most.

    Raises:
        PipelineError: the broker reports an error that does not pass by itself.
    """
    deadline = time.monotonic() + seconds
    count = 0
    while count < max_events and (remaining := deadline - time.monotonic()) > 0:
        message = consumer.poll(min(remaining, 0.5))
        if message is None:
            continue
        if error := message.error():
            if error.retriable():
                continue
            raise PipelineError(f"Kafka reports: {error.str()}.\nRun `make status`.")
        try:
            event = decode_event(message.value())
        except InvalidMessageError as invalid:
            place = f"partition {message.partition()}, offset {message.offset()}"
            warning = f"warning: skipped an invalid message ({place}): {invalid}"
            write_line(printable(warning), sys.stderr)
            continue
        count += 1
        yield event


def describe(event: Mapping[str, Any]) -> str:
    """Return one line about an event, for people."""
    product = event["category_code"] or f"product {event['product_id']}"
    brand = f" by {event['brand']}" if event["brand"] else ""
    return (
        f"{event['event_time']}  {event['event_type']:<16}  customer {event['user_id']}  "
        f"{product}{brand}, {event['price']}"
    )


if __name__ == "__main__":
    sys.exit(run_command(main, interrupted="Stopped."))
