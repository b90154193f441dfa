"""What every publisher promises, on a real broker; read back by the other client than wrote."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from contracts import DEAD_LETTERS, PROGRESS, RAW_EVENTS, Topic
from ingestion.clients import publisher_of
from ingestion.errors import IngestError
from ingestion.progress import Progress
from ingestion.publish import Publisher
from ingestion.run import find_source, ingest
from ingestion.settings import CLIENTS
from ingestion.sources import FileInput
from ingestion.topics import ends_of, ensure_topics, read_all, read_progress
from scripts.make_sample import make_events
from tests.integration.conftest import Stack, messages

Read = set[tuple[int, str, str]]


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, stack: Stack) -> str:
    ensure_topics(stack.ingestion.bootstrap_servers)
    return str(request.param)


@pytest.fixture
def source() -> str:
    """A source of its own for each test: the topics are shared."""
    return f"{uuid.uuid4()}.csv"


class Publishers:
    """Makes publishers, and closes them when the test is over."""

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._made: list[Publisher] = []

    def __call__(self, client: str, source: str) -> Publisher:
        publisher = publisher_of(client, self._servers, source)
        self._made.append(publisher)
        return publisher

    def close(self) -> None:
        for publisher in self._made:
            publisher.close()


@pytest.fixture
def publishers(stack: Stack) -> Iterator[Publishers]:
    made = Publishers(stack.ingestion.bootstrap_servers)
    yield made
    made.close()


def read(stack: Stack, wrote: str, topic: Topic, source: str) -> Read:
    """Partition, key and value of each committed message of a source."""
    if wrote == "kafka-python":
        servers = stack.ingestion.bootstrap_servers
        found = [(m.partition() or 0, m.key() or b"", m.value() or b"") for m in read_all(servers, topic)]
    else:
        found = [(m.partition, m.key or b"", m.value) for m in messages(stack, topic.name)]
    return {(number, key.decode(), value.decode()) for number, key, value in found if source.encode() in value}


def send(publisher: Publisher, source: str, numbers: range) -> None:
    keys = pl.Series([str(number) for number in numbers])
    values = pl.Series([json.dumps({"of": source, "number": number, "é": "ü" * 40}) for number in numbers])
    publisher.send(RAW_EVENTS.name, keys, values)


def numbers(found: Read) -> list[int]:
    return sorted(json.loads(value)["number"] for _, _, value in found)


def progress(source: str, end: int) -> Progress:
    return Progress(source, end, "0" * 64, 1, 1, 0, 0, "2026-11-23T12:00:00+00:00")


def test_what_is_committed_is_there_and_what_is_aborted_is_not(
    client: str, source: str, publishers: Publishers, stack: Stack
) -> None:
    publisher = publishers(client, source)
    publisher.begin()
    send(publisher, source, range(100))
    publisher.abort()
    publisher.begin()
    send(publisher, source, range(100, 3_000))
    publisher.send(DEAD_LETTERS.name, pl.Series([], dtype=pl.String), pl.Series([], dtype=pl.String))
    publisher.send(PROGRESS.name, pl.Series([source]), pl.Series([progress(source, 7).to_json()]))
    assert not read(stack, client, PROGRESS, source)
    publisher.commit()
    publisher.begin()
    send(publisher, source, range(3_000, 3_010))
    publisher.commit()
    assert numbers(read(stack, client, RAW_EVENTS, source)) == list(range(100, 3_010))
    assert len(read(stack, client, PROGRESS, source)) == 1
    assert read_progress(stack.ingestion.bootstrap_servers)[source].end == 7


def test_a_part_of_a_longer_column_is_sent_as_it_is(
    client: str, source: str, publishers: Publishers, stack: Stack
) -> None:
    publisher = publishers(client, source)
    values = pl.Series([json.dumps({"of": source, "number": number}) for number in range(50)])
    publisher.begin()
    publisher.send(RAW_EVENTS.name, values[10:20], values[10:20])
    publisher.commit()
    found = read(stack, client, RAW_EVENTS, source)
    assert numbers(found) == list(range(10, 20))
    assert all(key == value for _, key, value in found)


def test_clients_agree_in_which_partition_a_customer_is(publishers: Publishers, stack: Stack) -> None:
    placed = []
    ensure_topics(stack.ingestion.bootstrap_servers)
    for client in CLIENTS:
        source = f"{uuid.uuid4()}.csv"
        publisher = publishers(client, source)
        publisher.begin()
        send(publisher, source, range(300))
        publisher.commit()
        placed.append({(partition, key) for partition, key, _ in read(stack, client, RAW_EVENTS, source)})
    assert placed[0] == placed[1]
    assert len({partition for partition, _ in placed[0]}) == RAW_EVENTS.partitions


@pytest.mark.parametrize("later", CLIENTS)
def test_two_producers_for_one_source_fence_each_other(
    client: str, later: str, source: str, publishers: Publishers, stack: Stack
) -> None:
    first = publishers(client, source)
    first.begin()
    send(first, source, range(10))
    second = publishers(later, source)
    with pytest.raises(IngestError, match="Another run has taken over"):
        first.commit()
    second.begin()
    send(second, source, range(10, 20))
    second.commit()
    assert numbers(read(stack, later, RAW_EVENTS, source)) == list(range(10, 20))


def test_progress_behind_an_open_transaction_is_waited_for(
    client: str, source: str, publishers: Publishers, stack: Stack
) -> None:
    servers = stack.ingestion.bootstrap_servers
    slow, quick = publishers(client, source + ".slow"), publishers(client, source)
    before = ends_of(servers, PROGRESS)
    slow.begin()
    slow.send(PROGRESS.name, pl.Series([source + ".slow"]), pl.Series([progress(source + ".slow", 1).to_json()]))
    deadline = time.monotonic() + 30
    while ends_of(servers, PROGRESS) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    quick.begin()
    quick.send(PROGRESS.name, pl.Series([source]), pl.Series([progress(source, 2).to_json()]))
    quick.commit()
    # Nobody can see what lies behind the open transaction yet.
    assert source not in read_progress(servers)
    found: dict[str, Progress] = {}
    is_open = threading.Event()
    waiting = threading.Thread(target=lambda: found.update(read_progress(servers, True, is_open.set)))
    waiting.start()
    assert is_open.wait(30)
    slow.commit()
    waiting.join(timeout=60)
    assert (found[source].end, found[source + ".slow"].end) == (2, 1)


def test_a_file_is_in_the_topic_as_by_any_other_client(
    client: str, source: str, publishers: Publishers, stack: Stack, tmp_path: Path
) -> None:
    servers = stack.ingestion.bootstrap_servers
    path = tmp_path / source
    rows = make_events(3_000, 17)
    rows.vstack(rows[:3]).write_csv(path)
    given = FileInput(path)
    report = ingest(given, find_source(given, {}), publishers(client, source), lambda *_: None)
    assert report.adds_up
    found = {json.loads(value)["event_id"] for _, _, value in read(stack, client, RAW_EVENTS, source)}
    assert len(found) == report.accepted
    assert find_source(given, read_progress(servers, settled=True)).done is not None


def test_no_broker_is_an_error_with_the_next_action(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestion.librdkafka.INIT_S", 1)
    with pytest.raises(IngestError, match="make status"):
        publisher_of("confluent-kafka", "127.0.0.1:9", "nobody.csv")
