"""Read `raw_events`: what it holds, and exact ranges of offsets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from contracts import DEAD_LETTERS, RAW_EVENTS, Topic
from processing.errors import ProcessError
from processing.plan import Range

ANSWER_S = 10.0
STALL_S = 60.0
FETCH = 10_000


@dataclass(frozen=True, slots=True)
class Split:
    """A range of offsets of one partition: the work of one task."""

    partition: int
    begin: int
    end: int


def _consumer(bootstrap_servers: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "processing",
            "enable.auto.commit": False,
            # Rows of a transaction that was not committed are no events.
            "isolation.level": "read_committed",
            # An offset that is gone is an error, never a silent jump.
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            # A short queue reads nothing far beyond a split's end. Once it is full, the next fetch would by
            # default wait for a second, which is longer than it takes to read a hundred thousand messages.
            "queued.max.messages.kbytes": 4 * 1024,
            "fetch.queue.backoff.ms": 5,
            "max.partition.fetch.bytes": 2 * 1024 * 1024,
            "fetch.wait.max.ms": 100,
            "log_level": 0,
        }
    )


def held(bootstrap_servers: str, topic: Topic = RAW_EVENTS) -> dict[int, Range]:
    """By partition, the topic's first offset and the one after its last committed message.

    Raises:
        ProcessError: no broker answers, or the topic is not there yet.
    """
    consumer = _consumer(bootstrap_servers)
    try:
        try:
            topics = consumer.list_topics(timeout=ANSWER_S).topics
        except KafkaException as error:
            raise ProcessError(
                f"Kafka does not answer on {bootstrap_servers} after {ANSWER_S:.0f} s.\n"
                "Run `make up` to start the stack, or `make status` to see what runs."
            ) from error
        if topic.name not in topics:
            raise ProcessError(f"There is no topic {topic.name} yet.\nRun `make ingest` first.")
        return {
            partition: consumer.get_watermark_offsets(TopicPartition(topic.name, partition), timeout=ANSWER_S)
            for partition in topics[topic.name].partitions
        }
    finally:
        consumer.close()


def splits(ranges: dict[int, Range], most: int) -> list[Split]:
    """Cut ranges into tasks of at most so many offsets each."""
    found = []
    for partition, (begin, end) in sorted(ranges.items()):
        pieces = -(-(end - begin) // most)
        for piece in range(pieces):
            edges = [begin + (end - begin) * number // pieces for number in (piece, piece + 1)]
            found.append(Split(partition, *edges))
    return found


def read(
    bootstrap_servers: str, split: Split, topic: Topic = RAW_EVENTS
) -> Iterator[tuple[list[int], list[bytes | None], int]]:
    """Offsets and values of every committed message in a split, in order, some thousands at a time.

    The third of each part is when its first message was produced, in milliseconds since 1970.

    Transaction markers take up offsets without being messages, so the end is known by a message
    beyond it, or by the end of the partition.

    Raises:
        ProcessError: an offset is gone, or the broker stops answering.
    """
    consumer = _consumer(bootstrap_servers)
    try:
        consumer.assign([TopicPartition(topic.name, split.partition, split.begin)])
        while True:
            messages = consumer.consume(FETCH, timeout=0.05) or consumer.consume(1, timeout=STALL_S)
            if not messages:
                raise ProcessError(
                    f"Kafka on {bootstrap_servers} sent nothing of {split} for {STALL_S:.0f} s. Run `make status`."
                )
            offsets: list[int] = []
            values: list[bytes | None] = []
            reached, produced = False, 0
            for message in messages:
                failure = message.error()
                offset = message.offset()
                if failure is None and offset is not None:
                    if offset >= split.end:
                        reached = True
                        break
                    produced = produced if offsets else message.timestamp()[1]
                    offsets.append(offset)
                    values.append(message.value())
                elif failure is None or failure.code() == KafkaError._PARTITION_EOF:
                    reached = offset is not None and offset >= split.end
                elif failure.code() in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET):
                    raise ProcessError(f"Offsets of {split} are no longer in the topic: {failure.str()}")
                elif not failure.retriable():
                    raise KafkaException(failure)
            if offsets:
                yield offsets, values, produced
            if reached:
                return
    finally:
        consumer.close()


def unsent(bootstrap_servers: str, letters: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of some dead letters that an earlier attempt has not published yet."""
    published: set[bytes | None] = set()
    for partition, (begin, end) in held(bootstrap_servers, DEAD_LETTERS).items():
        if begin < end:
            for _, values, _ in read(bootstrap_servers, Split(partition, begin, end), DEAD_LETTERS):
                published.update(values)
    return [(place, letter) for place, letter in letters if letter.encode() not in published]


def send_dead_letters(bootstrap_servers: str, letters: list[tuple[str, str]]) -> None:
    """Publish messages that do not keep the contract: places (`topic/partition/offset`) and dead letters."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "enable.idempotence": True, "log_level": 0})
    failures: list[str] = []

    def delivered(error: KafkaError | None, _: object) -> None:
        if error is not None:
            failures.append(error.str())

    for key, value in letters:
        producer.produce(DEAD_LETTERS.name, value, key, on_delivery=delivered)
        producer.poll(0)
    if producer.flush(STALL_S) or failures:
        raise ProcessError(
            f"The dead letters could not be published: {failures[:1] or 'no answer'}. Run `make status`."
        )
