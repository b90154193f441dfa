"""A stream on real servers: its results, what it refuses, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from customer_profiles.contracts import COLUMNS, RAW_EVENTS
from customer_profiles.ingestion.messages import encode
from customer_profiles.ingestion.validate import validate
from customer_profiles.kafka.admin import end_offsets, ensure_topics, topic_id
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.producer import Publisher, create_publisher
from customer_profiles.lake.layout import LEASE
from customer_profiles.lake.s3 import S3ObjectStore
from customer_profiles.processing.spark.master import missing_worker_cause, read_master
from customer_profiles.processing.tasks.config import TaskConfig
from scripts.make_sample import make_events
from tests.integration.conftest import (
    Stack,
    check_profiles,
    ingest,
    lake_profiles,
    process,
    running,
    search,
)
from tests.integration.test_processing import live_index, put_settings
from tests.support import ROOT, line

WAIT_S = 90.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A separate stack, because the tests count all of its events."""
    with running(tmp_path_factory.mktemp("stack"), STREAM_INTERVAL="0.5") as stack:
        yield stack


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five files with events of the same customers."""
    folder = tmp_path_factory.mktemp("parts")
    events = make_events(10_000, 5).with_columns(
        user_id=(pl.col("user_id").cast(pl.Int64) % 500 + 1_000).cast(pl.String)
    )
    paths = []
    for number in range(5):
        paths.append(folder / f"part-{number}.csv")
        events[number * 2_000 : (number + 1) * 2_000].write_csv(paths[-1])
    return paths


def concatenate(parts: list[Path], path: Path) -> Path:
    """Write the rows of several files into one and return its path."""
    pl.concat([pl.read_csv(part, infer_schema=False) for part in parts]).write_csv(path)
    return path


def wait_for(condition: Callable[[], Any], explain: Callable[[], str] = lambda: "") -> Any:
    deadline = time.monotonic() + WAIT_S
    while not (result := condition()):
        assert time.monotonic() < deadline, explain()
        time.sleep(0.1)
    return result


@contextmanager
def streaming(stack: Stack) -> Iterator[subprocess.Popen[str]]:
    """Start a stream, and kill it at the end if it still runs."""
    command = [sys.executable, "-m", "customer_profiles.processing", "stream"]
    log = stack.reports.parent / "stream.log"
    with log.open("w") as out:
        child = subprocess.Popen(
            command, cwd=ROOT, env=dict(stack.environ), stdout=out, stderr=out, text=True
        )
    try:
        wait_for(
            lambda: "following raw_events" in log.read_text() or child.poll() is not None,
            log.read_text,
        )
        assert child.poll() is None, log.read_text()
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()


class Load:
    """Produces events at a steady rate in a thread, until it is stopped or `SECONDS` are over."""

    RATE = 1_000
    TICK_S = 0.2
    SECONDS = 120

    def __init__(self, stack: Stack) -> None:
        self.sent = 0
        self.error: BaseException | None = None
        self._config = KafkaConfig.from_settings(stack.ingestion)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        assert self.error is None

    def _run(self) -> None:
        try:
            publisher = create_publisher("librdkafka", self._config, "load")
            try:
                for _ in range(int(self.SECONDS / self.TICK_S)):
                    self._send(publisher, int(self.RATE * self.TICK_S))
                    if self._stop.wait(self.TICK_S):
                        return
            finally:
                publisher.close()
        except BaseException as error:
            self.error = error

    def _send(self, publisher: Publisher, count: int) -> None:
        lines = "".join(
            line(user_id=str(1_000 + number % 500), user_session=f"load {number}") + "\n"
            for number in range(self.sent, self.sent + count)
        )
        events = validate(lines.encode(), COLUMNS, "load", self.sent + 1).accepted
        publisher.begin()
        publisher.send("raw_events", events["user_id"], encode(events))
        publisher.commit()
        self.sent += count


def indexed_events(stack: Stack) -> int:
    body = {"aggs": {"events": {"sum": {"field": "total_events"}}}}
    return int(
        search(stack, "customer_profiles/_search?size=0", body)["aggregations"]["events"]["value"]
    )


def distinct_events(parts: list[Path]) -> int:
    paths = ", ".join(f"'{part}'" for part in parts)
    return int(
        duckdb.sql(
            f"""select count(*) from (
                select distinct * from read_csv([{paths}], all_varchar = true, header = true)
            where user_session is not null)"""
        ).fetchall()[0][0]
    )


def check_what_a_second_run_would_say(stack: Stack) -> None:
    """Check that the master's page has what explains a missing worker, while a stream runs."""
    settings = stack.processing
    state = read_master(settings.spark_master, (settings.spark_ui_port,))
    assert state
    (app,) = state["activeapps"]
    for memory_mb, words in (
        (1, f"Another run holds all cores: {app['name']} ({app['id']}, since"),
        (10**9, "Its largest worker has"),
    ):
        waiting = {"id": "second", "memoryperexecutor": memory_mb}
        cause = missing_worker_cause({**state, "activeapps": [app, waiting]}, "second")
        assert cause
        assert cause.startswith(words)


def test_profiles_follow_the_events_and_are_exact_in_the_end(
    stack: Stack, parts: list[Path], tmp_path: Path
) -> None:
    ingest(stack, parts[0])
    process(stack)
    with streaming(stack) as child:
        for number in (1, 2):
            ingest(stack, parts[number])
            expected = distinct_events(parts[: number + 1])
            # The running stream indexes profiles before it writes them to the lake.
            wait_for(lambda expected=expected: indexed_events(stack) == expected)
        refused = stack.python("customer_profiles.processing", "process")
        assert refused.returncode == 1
        assert "A stream runs on" in refused.stderr
        second = stack.python("customer_profiles.processing", "stream")
        assert second.returncode == 1
        assert "A stream runs already" in second.stderr
        assert child.poll() is None
        check_what_a_second_run_would_say(stack)
        child.send_signal(signal.SIGINT)
        assert child.wait(WAIT_S) == 0
    assert S3ObjectStore(TaskConfig.from_settings(stack.processing).lake).get(LEASE) is None
    check_profiles(stack, concatenate(parts[:3], tmp_path / "all.csv"))
    assert stack.python("customer_profiles.processing", "process").stdout.startswith("Nothing new:")
    batches = json.loads((stack.reports / "stream-latest.json").read_text())["batches"]
    assert sum(batch["events"] for batch in batches) >= distinct_events(parts[1:3])
    assert all(batch["lag_seconds"] > 0 and batch["error"] is None for batch in batches)
    search(stack, "pipeline_runs/_refresh")
    runs = search(stack, "pipeline_runs/_search?size=100", {"query": {"term": {"kind": "stream"}}})[
        "hits"
    ]["hits"]
    assert {hit["_source"]["batch"] for hit in runs} == {batch["batch"] for batch in batches}


def test_a_running_stream_catches_up_an_index_that_refused_writes(
    stack: Stack, parts: list[Path]
) -> None:
    index = live_index(stack)
    with streaming(stack) as child:
        put_settings(stack, index, {"index.blocks.write": True})
        ingest(stack, parts[3])
        log = stack.reports.parent / "stream.log"
        wait_for(lambda: "index behind" in log.read_text(), log.read_text)
        put_settings(stack, index, {"index.blocks.write": None})
        wait_for(lambda: indexed_events(stack) == distinct_events(parts[:4]), log.read_text)
        child.send_signal(signal.SIGINT)
        assert child.wait(WAIT_S) == 0, log.read_text()


def test_a_killed_stream_resumes_without_loss_or_repeat(
    stack: Stack, parts: list[Path], tmp_path: Path
) -> None:
    with streaming(stack) as child:
        ingest(stack, parts[4])
        # Kill it in the middle of its work.
        wait_for(lambda: indexed_events(stack) > distinct_events(parts[:4]))
        child.kill()
        child.wait()
    with streaming(stack) as child:
        wait_for(lambda: indexed_events(stack) == distinct_events(parts))
        child.send_signal(signal.SIGTERM)
        assert child.wait(WAIT_S) == 0
    check_profiles(stack, concatenate(parts, tmp_path / "all.csv"))
    profiles_of_stream = lake_profiles(stack).drop(columns="profile_generated_at")
    process(stack, "rebuild")
    pl.testing.assert_frame_equal(
        pl.from_pandas(profiles_of_stream),
        pl.from_pandas(lake_profiles(stack).drop(columns="profile_generated_at")),
    )


def test_event_counts_count_each_event_once(stack: Stack, parts: list[Path]) -> None:
    paths = ", ".join(f"'{part}'" for part in parts)
    expected = duckdb.sql(
        f"""
        with rows as (select distinct * from read_csv([{paths}], all_varchar = true, header = true)
                      where user_session is not null)
        select event_time[:10] || 'T00:00:00.000Z', event_type, count(*)::int,
            round(sum(
                case when event_type = 'purchase' then price::decimal(18, 4) else 0 end
            ), 2)::double
        from rows group by 1, 2
        """
    ).fetchall()
    sums = {"events": {"sum": {"field": "events"}}, "revenue": {"sum": {"field": "revenue"}}}
    days = {
        "date_histogram": {"field": "time", "calendar_interval": "day", "min_doc_count": 1},
        "aggs": sums,
    }
    body = {
        "query": {"term": {"granularity": "day"}},
        "aggs": {"types": {"terms": {"field": "event_type"}, "aggs": {"days": days}}},
    }
    search(stack, "event_metrics/_refresh")
    buckets = search(stack, "event_metrics/_search?size=0", body)["aggregations"]["types"][
        "buckets"
    ]
    actual = {
        (
            day["key_as_string"],
            event_type["key"],
            int(day["events"]["value"]),
            round(day["revenue"]["value"], 2),
        )
        for event_type in buckets
        for day in event_type["days"]["buckets"]
    }
    assert actual == set(expected)


def test_simulated_events_are_indexed(stack: Stack, parts: list[Path]) -> None:
    before = indexed_events(stack)
    with streaming(stack) as child:
        completed = stack.python(
            "customer_profiles.ingestion",
            "simulate",
            str(parts[0]),
            "--rate",
            "500",
            "--seconds",
            "3",
        )
        assert completed.returncode == 0, completed.stdout + completed.stderr
        sent = int(
            completed.stdout.splitlines()[-2 if "left out" in completed.stdout else -1]
            .split()[0]
            .replace(",", "")
        )
        assert sent > 500
        # Equal events of a customer in one transaction count as one.
        wait_for(lambda: indexed_events(stack) > before + 0.95 * sent)
        child.send_signal(signal.SIGINT)
        assert child.wait(WAIT_S) == 0
    assert before + 0.95 * sent < indexed_events(stack) <= before + sent


def test_process_and_stream_get_on_and_end_while_a_thousand_events_a_second_arrive(
    stack: Stack,
) -> None:
    before = indexed_events(stack)
    with Load(stack) as load:
        wait_for(lambda: load.sent > 2 * Load.RATE)
        report = process(stack)
        assert (report["batches"], report["index_error"]) == (1, None)
        assert report["profiles_updated"] > 0
        processed = indexed_events(stack)
        assert processed >= before + Load.RATE
        with streaming(stack) as child:
            wait_for(lambda: indexed_events(stack) > processed + 2 * Load.RATE)
            child.send_signal(signal.SIGINT)
            assert child.wait(WAIT_S) == 0
    process(stack)
    assert indexed_events(stack) == before + load.sent


def test_ctrl_c_ends_a_stream_in_order_while_it_starts(stack: Stack) -> None:
    command = [sys.executable, "-m", "customer_profiles.processing", "stream"]
    log = stack.reports.parent / "stream.log"
    with log.open("w") as out:
        child = subprocess.Popen(command, cwd=ROOT, env=dict(stack.environ), stdout=out, stderr=out)
    try:
        wait_for(lambda: "starting Spark" in log.read_text(), log.read_text)
        child.send_signal(signal.SIGINT)
        assert child.wait(WAIT_S) == 0, log.read_text()
    finally:
        child.kill()
        child.wait()
    assert "Traceback" not in log.read_text()
    assert "Ended. 0 events" in log.read_text()
    assert S3ObjectStore(TaskConfig.from_settings(stack.processing).lake).get(LEASE) is None


def test_what_was_removed_or_made_anew_is_noticed_and_filled(
    stack: Stack, parts: list[Path], tmp_path: Path
) -> None:
    config = KafkaConfig.from_settings(stack.ingestion)
    admin = AdminClient(dict(config.client_settings()))
    before = indexed_events(stack)
    new = tmp_path / "new.csv"
    renamed = pl.read_csv(parts[0], infer_schema=False).with_columns(brand=pl.lit("renamed"))
    renamed.write_csv(new)
    accepted = ingest(stack, new)["accepted"]
    ends = end_offsets(config, RAW_EVENTS)
    removed = [TopicPartition(RAW_EVENTS.name, number, end) for number, end in ends.items()]
    for deletion in admin.delete_records(removed[:1]).values():
        deletion.result()
    # The gap is found, and the run goes on with the other partitions.
    report = process(stack)
    (gap,) = report["gaps"]
    assert (gap["partition"], gap["last_offset"]) == (0, ends[0] - 1)
    assert [source["source"] for source in gap["sources"]] == ["new.csv"]
    assert indexed_events(stack) == before + accepted - gap["sources"][0]["missing"]
    # Then the whole topic is made anew, before the gap is filled.
    known_id = topic_id(config)
    admin.delete_topics([RAW_EVENTS.name])[RAW_EVENTS.name].result()
    wait_for(lambda: RAW_EVENTS.name not in admin.list_topics(timeout=10).topics)
    ensure_topics(config)
    assert topic_id(config) != known_id
    assert ingest(stack, new)["accepted"] == accepted
    refused = stack.python("customer_profiles.processing", "process")
    assert refused.returncode == 1
    assert "make process NEW_TOPIC=1" in refused.stderr
    completed = stack.python("customer_profiles.processing", "process", "--new-topic")
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert json.loads((stack.reports / "process-latest.json").read_text())["gaps"] == []
    assert indexed_events(stack) == before + accepted
    assert ingest(stack, new)["already_ingested"] > 0
    assert process(stack)["events_landed"] == 0
