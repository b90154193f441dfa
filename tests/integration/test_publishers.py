"""The guarantees of every publisher, on a real broker. Another client reads what it wrote."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import DEAD_LETTERS, PROGRESS, RAW_EVENTS, Topic
from customer_profiles.ingestion.inputs import FileInput
from customer_profiles.ingestion.pipeline import ingest
from customer_profiles.ingestion.progress import Progress, read_progress
from customer_profiles.ingestion.sources import identify_source
from customer_profiles.kafka.admin import end_offsets, ensure_topics
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.producer import CLIENTS, Publisher, create_publisher
from customer_profiles.kafka.reader import read_topic
from scripts.make_sample import make_events
from tests.integration.conftest import Stack, messages

Messages = set[tuple[int, str, str]]
"""Partition, key and value of each message."""

MODULES = {
    "librdkafka": "customer_profiles.kafka.librdkafka",
    "confluent-kafka": "customer_profiles.kafka.confluent",
    "kafka-python": "customer_profiles.kafka.kafka_python",
}


@pytest.fixture
def config(stack: Stack) -> KafkaConfig:
    config = KafkaConfig.from_settings(stack.ingestion)
    ensure_topics(config)
    return config


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def source() -> str:
    """A new source for each test, because all tests share the topics."""
    return f"{uuid.uuid4()}.csv"


class Publishers:
    """Creates publishers, and closes all of them at the end of the test."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._created: list[Publisher] = []

    def __call__(self, client: str, source: str) -> Publisher:
        publisher = create_publisher(client, self._config, source)
        self._created.append(publisher)
        return publisher

    def close(self) -> None:
        for publisher in self._created:
            publisher.close()


@pytest.fixture
def publishers(config: KafkaConfig) -> Iterator[Publishers]:
    publishers = Publishers(config)
    yield publishers
    publishers.close()


def read(stack: Stack, writer: str, topic: Topic, source: str) -> Messages:
    """Read every committed message of a source with a client other than the writer."""
    if writer == "kafka-python":
        config = KafkaConfig.from_settings(stack.ingestion)
        records = [
            (message.partition() or 0, message.key() or b"", message.value() or b"")
            for message in read_topic(config, topic)
        ]
    else:
        records = [
            (message.partition, message.key or b"", message.value)
            for message in messages(stack, topic.name)
        ]
    return {
        (partition, key.decode(), value.decode())
        for partition, key, value in records
        if source.encode() in value
    }


def send(publisher: Publisher, source: str, numbers: range) -> None:
    keys = pl.Series([str(number) for number in numbers])
    values = pl.Series(
        [json.dumps({"of": source, "number": number, "é": "ü" * 40}) for number in numbers]
    )
    publisher.send(RAW_EVENTS.name, keys, values)


def numbers(sent: Messages) -> list[int]:
    return sorted(json.loads(value)["number"] for _, _, value in sent)


def progress(source: str, end: int) -> Progress:
    return Progress(source, end, "0" * 64, 1, 1, 0, 0, "2026-11-23T12:00:00+00:00")


def test_committed_messages_are_visible_and_aborted_ones_are_not(
    client: str, source: str, publishers: Publishers, stack: Stack, config: KafkaConfig
) -> None:
    publisher = publishers(client, source)
    publisher.begin()
    send(publisher, source, range(100))
    publisher.abort()
    publisher.begin()
    send(publisher, source, range(100, 3_000))
    publisher.send(
        DEAD_LETTERS.name, pl.Series([], dtype=pl.String), pl.Series([], dtype=pl.String)
    )
    publisher.send(PROGRESS.name, pl.Series([source]), pl.Series([progress(source, 7).to_json()]))
    assert not read(stack, client, PROGRESS, source)
    publisher.commit()
    publisher.begin()
    send(publisher, source, range(3_000, 3_010))
    publisher.commit()
    assert numbers(read(stack, client, RAW_EVENTS, source)) == list(range(100, 3_010))
    assert len(read(stack, client, PROGRESS, source)) == 1
    assert read_progress(config)[source].end == 7


def test_a_slice_of_a_column_is_sent_exactly(
    client: str, source: str, publishers: Publishers, stack: Stack
) -> None:
    publisher = publishers(client, source)
    values = pl.Series([json.dumps({"of": source, "number": number}) for number in range(50)])
    publisher.begin()
    publisher.send(RAW_EVENTS.name, values[10:20], values[10:20])
    publisher.commit()
    sent = read(stack, client, RAW_EVENTS, source)
    assert numbers(sent) == list(range(10, 20))
    assert all(key == value for _, key, value in sent)


def test_all_clients_send_a_customer_to_the_same_partition(
    publishers: Publishers, stack: Stack
) -> None:
    partitions_by_client = []
    for client in CLIENTS:
        source = f"{uuid.uuid4()}.csv"
        publisher = publishers(client, source)
        publisher.begin()
        send(publisher, source, range(300))
        publisher.commit()
        partitions_by_client.append(
            {(partition, key) for partition, key, _ in read(stack, client, RAW_EVENTS, source)}
        )
    first, *rest = partitions_by_client
    assert rest == [first] * (len(CLIENTS) - 1)
    assert len({partition for partition, _ in first}) == RAW_EVENTS.partitions


@pytest.mark.parametrize("later", CLIENTS)
def test_a_later_producer_of_a_source_fences_the_earlier_one(
    client: str, later: str, source: str, publishers: Publishers, stack: Stack
) -> None:
    first = publishers(client, source)
    first.begin()
    send(first, source, range(10))
    second = publishers(later, source)
    with pytest.raises(PipelineError, match="Another run has taken over"):
        first.commit()
    second.begin()
    send(second, source, range(10, 20))
    second.commit()
    assert numbers(read(stack, later, RAW_EVENTS, source)) == list(range(10, 20))


def test_reading_progress_waits_for_open_transactions(
    client: str, source: str, publishers: Publishers, config: KafkaConfig
) -> None:
    slow, quick = publishers(client, source + ".slow"), publishers(client, source)
    before = end_offsets(config, PROGRESS)
    slow.begin()
    slow.send(
        PROGRESS.name,
        pl.Series([source + ".slow"]),
        pl.Series([progress(source + ".slow", 1).to_json()]),
    )
    deadline = time.monotonic() + 30
    while end_offsets(config, PROGRESS) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    quick.begin()
    quick.send(PROGRESS.name, pl.Series([source]), pl.Series([progress(source, 2).to_json()]))
    quick.commit()
    # An open transaction hides every message after its first one.
    assert source not in read_progress(config)
    records: dict[str, Progress] = {}
    is_waiting = threading.Event()

    def read_when_closed() -> None:
        records.update(
            read_progress(config, wait_for_open_transactions=True, on_wait=is_waiting.set)
        )

    reader = threading.Thread(target=read_when_closed)
    reader.start()
    assert is_waiting.wait(30)
    slow.commit()
    reader.join(timeout=60)
    assert (records[source].end, records[source + ".slow"].end) == (2, 1)


def test_every_client_ingests_a_whole_file(
    client: str,
    source: str,
    publishers: Publishers,
    stack: Stack,
    config: KafkaConfig,
    tmp_path: Path,
) -> None:
    path = tmp_path / source
    rows = make_events(3_000, 17)
    rows.vstack(rows[:3]).write_csv(path)
    csv_input = FileInput(path)
    report = ingest(
        csv_input, identify_source(csv_input, {}), publishers(client, source), lambda *_: None
    )
    assert report.adds_up
    event_ids = {
        json.loads(value)["event_id"] for _, _, value in read(stack, client, RAW_EVENTS, source)
    }
    assert len(event_ids) == report.accepted
    records = read_progress(config, wait_for_open_transactions=True)
    assert identify_source(csv_input, records).progress is not None


@pytest.mark.parametrize("client", CLIENTS)
def test_a_missing_broker_is_an_error_with_the_next_action(
    client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{MODULES[client]}.INIT_S", 1)
    with pytest.raises(PipelineError, match="make status"):
        create_publisher(client, KafkaConfig("127.0.0.1:9"), "nobody.csv")
