"""Publish to Kafka in transactions, and read back how far a source has come."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from contracts import PROGRESS, TOPICS
from ingestion.errors import IngestError
from ingestion.progress import Progress

ANSWER_S = 10.0
COMMIT_S = 120.0


class Publisher(Protocol):
    """Sends messages that become visible together, or not at all."""

    def begin(self) -> None:
        """Open a transaction."""

    def send(self, topic: str, keys: Sequence[str], values: Sequence[str | bytes]) -> None:
        """Add messages to the open transaction."""

    def commit(self) -> None:
        """Make everything since `begin` visible; returns once the broker has it."""

    def abort(self) -> None:
        """Drop everything since `begin`."""


def ensure_topics(bootstrap_servers: str) -> None:
    """Create the contract's topics where they are missing.

    Raises:
        IngestError: no broker answers.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    try:
        present = admin.list_topics(timeout=ANSWER_S).topics
    except KafkaException as error:
        raise IngestError(
            f"Kafka does not answer on {bootstrap_servers} after {ANSWER_S:.0f} s.\n"
            "Run `make up` to start the stack, or `make status` to see what runs."
        ) from error
    missing = [topic for topic in TOPICS if topic.name not in present]
    if not missing:
        return
    wanted = [NewTopic(topic.name, num_partitions=topic.partitions, config=dict(topic.config)) for topic in missing]
    for name, future in admin.create_topics(wanted).items():
        try:
            future.result(timeout=ANSWER_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise IngestError(f"The topic {name} could not be created: {error}") from error
    # A topic is created before every broker knows its leader.
    deadline = time.monotonic() + ANSWER_S
    names = {topic.name for topic in missing}
    while not names <= set(admin.list_topics(timeout=ANSWER_S).topics):
        if time.monotonic() > deadline:
            raise IngestError(f"Kafka did not show its new topics within {ANSWER_S:.0f} s. Run the command again.")


def read_progress(bootstrap_servers: str) -> dict[str, Progress]:
    """The newest record of every source, committed transactions only."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "ingest-progress",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    found: dict[str, Progress] = {}
    try:
        consumer.assign([TopicPartition(PROGRESS.name, 0, 0)])
        while True:
            message = consumer.poll(ANSWER_S)
            if message is None:
                raise IngestError(f"Kafka on {bootstrap_servers} stopped answering. Run `make status`.")
            failure = message.error()
            if failure is None:
                record = Progress.from_json(message.value() or b"")
                found[record.source] = record
            elif failure.code() == KafkaError._PARTITION_EOF:
                return found
            else:
                raise KafkaException(failure)
    finally:
        consumer.close()


class ConfluentPublisher:
    """Idempotent transactions over librdkafka, partitioned as the Java client does it."""

    def __init__(self, bootstrap_servers: str, source: str) -> None:
        """Take over the source: an earlier producer of it that still lives is fenced."""
        self._source = source
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "transactional.id": f"ingest-{source}",
                "transaction.timeout.ms": 60_000,
                "partitioner": "murmur2_random",
                "compression.type": "zstd",
                "linger.ms": 50,
                "batch.size": 1_000_000,
                "queue.buffering.max.messages": 2_000_000,
                "queue.buffering.max.kbytes": 512 * 1024,
                "log_level": 0,
            }
        )
        self._call(lambda: self._producer.init_transactions(ANSWER_S * 3))

    def begin(self) -> None:
        self._call(self._producer.begin_transaction)

    def send(self, topic: str, keys: Sequence[str], values: Sequence[str | bytes]) -> None:
        messages = [{"key": key, "value": value} for key, value in zip(keys, values, strict=True)]
        queued = self._producer.produce_batch(topic, messages)
        if queued != len(messages):
            refused = next(message["_error"] for message in messages if "_error" in message)
            raise IngestError(f"{len(messages) - queued} messages were refused before they were sent: {refused!r}")

    def commit(self) -> None:
        self._call(lambda: self._producer.commit_transaction(COMMIT_S))

    def abort(self) -> None:
        self._call(lambda: self._producer.abort_transaction(ANSWER_S))

    def _call(self, action: Callable[[], object]) -> None:
        try:
            action()
        except KafkaException as error:
            cause = error.args[0]
            if cause.code() in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH):
                raise IngestError(
                    f"Another run has taken over the source {self._source}; this one has stopped and lost nothing."
                ) from error
            raise IngestError(
                f"Kafka did not accept a transaction: {cause.str()}.\nRun `make status`, then `make ingest` again: "
                "it continues where this run stopped."
            ) from error
