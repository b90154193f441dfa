"""Servers that are killed and stay away for a while end no stream, and change no result.

`OUTAGE_KILLS=20 OUTAGE_SECONDS=60 make test TESTS=tests/faults/test_outages.py` kills each server
twenty times, for a minute each.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from customer_profiles.common.outages import OutageRecord, read_outages
from customer_profiles.lake.lease import EXPIRES_S
from scripts.make_sample import make_events
from stack.settings import Settings
from stack.supervisor import Supervisor
from tests.integration.conftest import (
    Stack,
    check_profiles,
    ingest,
    lake_profiles,
    process,
    running,
    search,
)
from tests.support import ROOT

KILLS = int(os.environ.get("OUTAGE_KILLS", "1"))
"""Of each server."""
AWAY_S = float(os.environ.get("OUTAGE_SECONDS", "5"))
"""How long a server is away before it is started again. Its start takes up to 20 s more."""
ALERT_AFTER_S = 60
ROWS_BETWEEN = 1_500
SEED = 31
WAIT_S = 180.0
ERROR_S = 120.0
"""A run ends with an error this long after its server went away, at the latest."""
SERVERS = {"kafka": "Kafka", "minio": "MinIO", "elasticsearch": "Elasticsearch"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A separate stack whose servers are killed."""
    with running(tmp_path_factory.mktemp("stack"), BATCH_EVENTS="20000") as stack:
        yield stack


class Source:
    """A file that grows; what it holds is what all profiles are computed from in the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = make_events(3_000 + 3 * ROWS_BETWEEN * KILLS + 30_000, SEED).filter(
            pl.col("user_session").is_not_null()
        )
        self.taken = 0

    def grow(self, count: int) -> None:
        """Append rows."""
        new = self.rows[self.taken : self.taken + count]
        self.taken += count
        with self.path.open("ab") as file:
            file.write(new.write_csv(include_header=file.tell() == 0).encode())

    @property
    def events(self) -> int:
        """How many different events the file holds."""
        return self.rows[: self.taken].unique().height


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return Source(tmp_path_factory.mktemp("data") / "events.csv")


def kill(stack: Stack, server: str) -> None:
    state = Supervisor(Settings.from_env(stack.environ)).state(server)
    assert state
    os.kill(state.pid, signal.SIGKILL)


def start_again(stack: Stack) -> None:
    up = stack.python("stack", "up")
    assert up.returncode == 0, up.stdout + up.stderr


def wait_for(condition: Callable[[], Any], explain: Callable[[], str]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.1)


@contextmanager
def started(stack: Stack, command: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Start a command of processing, and kill it at the end if it still runs."""
    log = stack.reports.parent / f"{command}.log"
    arguments = [sys.executable, "-m", "customer_profiles.processing", command]
    with log.open("wb") as out:
        child = subprocess.Popen(
            arguments, cwd=ROOT, env=dict(stack.environ), stdout=out, stderr=out
        )
    try:
        yield child, log
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()


def indexed_events(stack: Stack) -> int:
    body = {"aggs": {"events": {"sum": {"field": "total_events"}}}}
    try:
        found = search(stack, "customer_profiles/_search?size=0", body)
    except OSError:
        # Elasticsearch answers, and its shards are not ready yet.
        return -1
    return int(found["aggregations"]["events"]["value"])


def outages_of(stack: Stack, name: str) -> list[OutageRecord]:
    return [record for record in read_outages(stack.reports) if record.server == name]


def is_away(stack: Stack, name: str) -> bool:
    return any(record.until is None for record in outages_of(stack, name))


def one_outage(
    stack: Stack, server: str, source: Source, child: subprocess.Popen[bytes], log: Path
) -> None:
    """Kill a server, let it be away, and see that the stream goes on exactly."""
    away_s = max(AWAY_S, EXPIRES_S + 1) if server == "minio" else AWAY_S
    source.grow(ROWS_BETWEEN)
    if server == "kafka":
        kill(stack, server)
    else:
        kill(stack, server)
        # What the stream has to land, or to index, while the server is away.
        ingest(stack, source.path)
    killed = time.monotonic()
    wait_for(lambda: is_away(stack, SERVERS[server]), log.read_text)
    time.sleep(max(0.0, away_s - (time.monotonic() - killed)))
    assert child.poll() is None, log.read_text()
    start_again(stack)
    if server == "kafka":
        ingest(stack, source.path)
    wait_for(lambda: indexed_events(stack) == source.events, log.read_text)
    wait_for(lambda: not is_away(stack, SERVERS[server]), log.read_text)


def test_a_stream_outlives_each_server_and_goes_on_exactly(stack: Stack, source: Source) -> None:
    source.grow(3_000)
    ingest(stack, source.path)
    with started(stack, "stream") as (child, log):
        wait_for(lambda: indexed_events(stack) == source.events, log.read_text)
        for _ in range(KILLS):
            for server in SERVERS:
                one_outage(stack, server, source, child, log)
        child.send_signal(signal.SIGINT)
        assert child.wait(WAIT_S) == 0, log.read_text()
    text = log.read_text()
    assert "Traceback" not in text
    for name in SERVERS.values():
        records = outages_of(stack, name)
        assert records, text
        # It is said once that a server is away, and once that it is back.
        assert text.count(f"{name} is back after") == KILLS
        assert all((record.seconds or 0) >= 1 for record in records)
        if AWAY_S > ALERT_AFTER_S:
            assert all(record.alerted_at for record in records)
            assert text.count(f"{name} has been away for") == KILLS
    check_profiles(stack, source.path)
    before = pl.from_pandas(lake_profiles(stack)).drop("bucket", "profile_generated_at")
    process(stack, "rebuild")
    after = pl.from_pandas(lake_profiles(stack)).drop("bucket", "profile_generated_at")
    assert_frame_equal(before.sort("user_id"), after.sort("user_id"))
    verified = stack.python("customer_profiles.processing", "verify", "--deep")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_run_without_kafka_ends_in_time_and_the_next_one_completes(
    stack: Stack, source: Source
) -> None:
    source.grow(15_000)
    ingest(stack, source.path)
    with started(stack, "process") as (child, log):
        wait_for(lambda: b"starting Spark" in log.read_bytes(), log.read_text)
        wait_for(lambda: any_plan(stack) or child.poll() is not None, log.read_text)
        killed = time.monotonic()
        kill(stack, "kafka")
        assert child.wait(WAIT_S) == 1, log.read_text()
        assert time.monotonic() - killed < ERROR_S
    assert "Traceback" not in log.read_text()
    assert "Kafka" in log.read_text()
    report = json.loads((stack.reports / "process-latest.json").read_text())
    assert (report["status"], report["exit_code"]) == ("failed", 1)
    start_again(stack)
    process(stack)
    check_profiles(stack, source.path)


def any_plan(stack: Stack) -> bool:
    """Tell whether a run has planned a batch that is not committed."""
    folders = Path(stack.environ["STACK_HOME"]).glob("data/**/data-lake/events/_batches/*.json")
    names = {folder.name for folder in folders}
    plans = {name for name in names if name[:-5].isdigit()}
    return any(name.replace(".json", ".done.json") not in names for name in plans)


def test_a_run_without_elasticsearch_says_so_once_and_the_next_one_catches_up(
    stack: Stack, source: Source
) -> None:
    kill(stack, "elasticsearch")
    source.grow(2_000)
    ingest(stack, source.path)
    failed = stack.python("customer_profiles.processing", "process")
    assert failed.returncode != 0
    said = failed.stdout + failed.stderr
    assert said.count("the index catches up later") == 1
    assert "Traceback" not in said
    start_again(stack)
    process(stack)
    check_profiles(stack, source.path)
