"""Publishers, readers and dead letters together, on the mock broker inside librdkafka.

The mock broker runs in this process. It writes transaction markers, but it neither fences producers
nor hides open transactions; tests/integration/test_publishers.py tests both on a real broker.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pytest
from confluent_kafka import Producer

from customer_profiles.contracts import Topic
from customer_profiles.kafka.admin import end_offsets, watermarks
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.dead_letters import publish_dead_letters, unpublished
from customer_profiles.kafka.errors import OffsetOutOfRangeError
from customer_profiles.kafka.producer import create_publisher
from customer_profiles.kafka.reader import OffsetRange, read_range, read_topic

CLIENTS = ("librdkafka", "confluent-kafka")
"""The clients that work with the mock broker; kafka-python does not."""
PARTITIONS = 4
"""The mock broker creates every topic with this many partitions."""
NUMBERS = [str(number) for number in range(1_000)]


@pytest.fixture(scope="module")
def config() -> Iterator[KafkaConfig]:
    owner = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = owner.list_topics(timeout=10).brokers.values()
    yield KafkaConfig(f"{broker.host}:{broker.port}")
    del owner


def publish(client: str, config: KafkaConfig, topic: Topic) -> None:
    """Publish `NUMBERS` in two transactions, with the same texts as keys and values."""
    publisher = create_publisher(client, config, f"{topic.name}.csv")
    try:
        for part in (NUMBERS[:400], NUMBERS[400:]):
            publisher.begin()
            publisher.send(topic.name, pl.Series(part), pl.Series(part))
            publisher.commit()
    finally:
        publisher.close()


def partitions_of(config: KafkaConfig, topic: Topic) -> dict[bytes | None, int | None]:
    """Return the partition of each value."""
    received = list(read_topic(config, topic))
    assert len(received) == len(NUMBERS)
    assert all(message.key() == message.value() for message in received)
    return {message.value(): message.partition() for message in received}


def test_all_clients_send_a_customer_to_the_same_partition(config: KafkaConfig) -> None:
    topics = [Topic(f"by-{client}", PARTITIONS) for client in CLIENTS]
    for client, topic in zip(CLIENTS, topics, strict=True):
        publish(client, config, topic)
    by_client = [partitions_of(config, topic) for topic in topics]
    assert by_client[0] == by_client[1]
    assert set(by_client[0].values()) == set(range(PARTITIONS))


@pytest.mark.parametrize("client", CLIENTS)
def test_ranges_contain_every_committed_message_once(client: str, config: KafkaConfig) -> None:
    topic = Topic(f"ranges-{client}", PARTITIONS)
    publish(client, config, topic)
    ends = end_offsets(config, topic)
    assert watermarks(config, topic) == {number: (0, end) for number, end in ends.items()}
    assert sum(ends.values()) > len(NUMBERS)
    values: list[bytes | None] = []
    for partition, end in ends.items():
        for start, range_end in ((0, end // 2), (end // 2, end)):
            for batch in read_range(config, OffsetRange(partition, start, range_end), topic):
                # Transaction markers leave gaps between the offsets of messages.
                assert batch.offsets == sorted(set(batch.offsets))
                assert start <= batch.offsets[0] <= batch.offsets[-1] < range_end
                assert batch.first_timestamp_ms > 1_500_000_000_000
                values += batch.values
    assert sorted(values, key=str) == sorted((number.encode() for number in NUMBERS), key=str)


def test_an_offset_beyond_the_end_of_the_topic_is_an_error(config: KafkaConfig) -> None:
    topic = Topic("short", PARTITIONS)
    publish(CLIENTS[0], config, topic)
    with pytest.raises(OffsetOutOfRangeError, match="offsets 9000 to 9009 of short/1"):
        list(read_range(config, OffsetRange(1, 9_000, 9_010), topic))


def test_dead_letters_of_an_earlier_attempt_are_recognised(config: KafkaConfig) -> None:
    entries = [(f"raw_events/0/{number}", f"no event {number}") for number in range(3)]
    publish_dead_letters(config, entries[:2])
    assert unpublished(config, entries) == entries[2:]
    publish_dead_letters(config, entries[2:])
    assert unpublished(config, entries) == []
