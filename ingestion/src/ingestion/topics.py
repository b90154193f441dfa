"""The topics of the contract: made where they are missing, and read back from their beginning."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]

from contracts import PROGRESS, TOPICS, Topic
from ingestion.errors import IngestError
from ingestion.progress import Progress
from ingestion.publish import TRANSACTION_S

ANSWER_S = 10.0
FETCH = 10_000


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


def nothing() -> None:
    """Nobody wants to know."""


def read_all(
    bootstrap_servers: str, topic: Topic, settled: bool = False, on_wait: Callable[[], None] = nothing
) -> Iterator[Message]:
    """Every committed message of a topic, in the order of its partitions each.

    Args:
        bootstrap_servers: where the broker is.
        topic: which one; must be there.
        settled: wait until no transaction is open before the end of the topic as it is now. An open
            one, of whatever producer, hides all that was committed behind its beginning.
        on_wait: told when that has to be waited for: a minute at the most, if its producer is dead.

    Raises:
        IngestError: the broker stops answering, or a transaction stays open.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "ingestion",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            # A full queue would by default make the next fetch wait for a second.
            "queued.max.messages.kbytes": 4 * 1024,
            "fetch.queue.backoff.ms": 5,
            "fetch.wait.max.ms": 100,
            "log_level": 0,
        }
    )
    partitions = range(topic.partitions)
    ends = ends_of(bootstrap_servers, topic) if settled else dict.fromkeys(partitions, 0)
    deadline = time.monotonic() + TRANSACTION_S + ANSWER_S
    open_partitions = set(partitions)
    try:
        consumer.assign([TopicPartition(topic.name, number, 0) for number in partitions])
        while open_partitions:
            messages = consumer.consume(FETCH, timeout=0.2) or consumer.consume(1, timeout=ANSWER_S)
            if not messages and not settled:
                raise IngestError(f"Kafka on {bootstrap_servers} stopped answering. Run `make status`.")
            if settled and time.monotonic() > deadline and not any(not message.error() for message in messages):
                raise IngestError(
                    f"A transaction of another run stays open in {topic.name}. "
                    "Wait for that run, then run the command again."
                )
            for message in messages:
                failure, number = message.error(), message.partition()
                if failure is None:
                    yield message
                elif failure.code() != KafkaError._PARTITION_EOF:
                    if not failure.retriable():
                        raise KafkaException(failure)
                elif number is not None and (message.offset() or 0) >= ends[number]:
                    open_partitions.discard(number)
                else:
                    on_wait()
    finally:
        consumer.close()


def ends_of(bootstrap_servers: str, topic: Topic) -> dict[int, int]:
    """The end of each partition, open transactions included."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    places = {TopicPartition(topic.name, number): latest for number in range(topic.partitions)}
    futures = admin.list_offsets(places, request_timeout=ANSWER_S)
    try:
        return {place.partition: future.result().offset for place, future in futures.items()}
    except KafkaException as error:
        raise IngestError(f"Kafka on {bootstrap_servers} stopped answering: {error}. Run `make status`.") from error


def read_progress(
    bootstrap_servers: str, settled: bool = False, on_wait: Callable[[], None] = nothing
) -> dict[str, Progress]:
    """The newest record of every source; arguments and errors as `read_all`."""
    messages = read_all(bootstrap_servers, PROGRESS, settled, on_wait)
    records = (Progress.from_json(message.value() or b"") for message in messages)
    return {record.source: record for record in records}
