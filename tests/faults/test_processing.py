"""Processing gives exact results even if its driver, worker, executor or Python is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import polars as pl
import psutil
import pyarrow.parquet as pq
import pytest
from kafka import KafkaProducer

from customer_profiles.contracts import DEAD_LETTERS, RAW_EVENTS
from customer_profiles.kafka.kafka_python import connection_options
from scripts.make_sample import make_events
from stack.settings import Settings
from stack.supervisor import Supervisor
from tests.day_statistics import check_statistics
from tests.integration.conftest import (
    Stack,
    check_profiles,
    ingest,
    lake_files,
    messages,
    process,
    running,
)
from tests.support import ROOT

KILLS = 20
ROWS = 24_000
SEED = 5
PARTS = 4
INVALID_MESSAGES = 7


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A separate stack whose processes are killed. Small batches give a run many steps."""
    with running(tmp_path_factory.mktemp("stack"), BATCH_EVENTS="1500") as stack:
        yield stack


def running_processes(stack: Stack, driver: int) -> dict[str, int]:
    """Return the process ids that can be killed now, by kind."""
    pids = {"driver": driver}
    state = Supervisor(Settings.from_env(stack.environ)).state("spark-worker")
    if state:
        pids["worker"] = state.pid
        for child in psutil.Process(state.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                command = " ".join(child.cmdline())
                if "CoarseGrainedExecutorBackend" in command:
                    pids["executor"] = child.pid
                elif "pyspark.daemon" in command:
                    # Children come after their parent: the last one is a worker, not the daemon.
                    pids["python"] = child.pid
    return pids


def run_and_kill(stack: Stack, kinds: list[str], rng: random.Random) -> list[str]:
    """Run processing, kill its processes one by one until it ends, and return their kinds."""
    command = [sys.executable, "-m", "customer_profiles.processing", "process", "--brief"]
    log = stack.reports / "killed.log"
    killed: list[str] = []
    with (
        log.open("wb") as out,
        subprocess.Popen(
            command, cwd=ROOT, env=dict(stack.environ), stdout=out, stderr=out
        ) as child,
    ):
        while b"starting Spark" not in log.read_bytes():
            if child.poll() is not None:
                break
            time.sleep(0.05)
        try:
            while child.poll() is None and len(killed) < len(kinds):
                with suppress(subprocess.TimeoutExpired):
                    child.wait(rng.uniform(0.3, 6))
                    break
                kind = kinds[len(killed)]
                pids = running_processes(stack, child.pid)
                if kind not in pids:
                    continue
                os.kill(pids[kind], signal.SIGKILL)
                killed.append(kind)
                if kind == "worker":
                    assert stack.python("stack", "up").returncode == 0
            # The run survives, or ends with an error that names the next action.
            assert child.wait(200) in (0, 1, -signal.SIGKILL), log.read_text()
        finally:
            child.kill()
    return killed


def publish_invalid_messages(stack: Stack) -> int:
    """Publish invalid messages to every partition and return their number."""
    producer = KafkaProducer(**connection_options(stack.ingestion.kafka))
    for number in range(INVALID_MESSAGES):
        producer.send(RAW_EVENTS.name, b"no event %d" % number, partition=number % 3)
    producer.flush()
    producer.close()
    return INVALID_MESSAGES


def read_events(stack: Stack) -> pl.DataFrame:
    """Read every row of `events/`."""
    columns = ["event_id", "kafka_partition", "kafka_offset"]
    table = pq.read_table("data-lake/events", filesystem=lake_files(stack), columns=columns)
    events = pl.from_arrow(table)
    assert isinstance(events, pl.DataFrame)
    return events


def test_twenty_kills_of_any_process_at_random_moments_change_nothing(
    cluster: Stack, tmp_path: Path
) -> None:
    rng = random.Random(SEED)  # noqa: S311 - only repeatability matters
    kinds = ["driver", "worker", "executor", "python"] * (KILLS // 4)
    rng.shuffle(kinds)
    path = tmp_path / "events.csv"
    rows = make_events(ROWS, SEED).filter(pl.col("user_session").is_not_null())
    remaining, part, invalid = list(kinds), 0, 0
    while remaining:
        # Each part has customers of the parts before it. After the last part, all events are
        # ingested again.
        part += 1
        rows[: part * ROWS // PARTS].write_csv(path)
        ingest(cluster, path, **({"REINGEST": "1"} if part > PARTS else {}))
        invalid += publish_invalid_messages(cluster)
        while remaining and (killed := run_and_kill(cluster, remaining, rng)):
            remaining = remaining[len(killed) :]
    rows.write_csv(path)
    ingest(cluster, path)
    process(cluster)

    sent = [
        message
        for message in messages(cluster, RAW_EVENTS.name)
        if not message.value.startswith(b"no event")
    ]
    landed = read_events(cluster)
    positions = Counter(landed.select("kafka_partition", "kafka_offset").iter_rows())
    assert positions == Counter((message.partition, message.offset) for message in sent)

    dead_letters = Counter(message.key for message in messages(cluster, DEAD_LETTERS.name))
    invalid_ids = [key for key in dead_letters if key and key.startswith(b"raw_events/")]
    assert len(invalid_ids) == invalid
    assert {dead_letters[key] for key in invalid_ids} == {1}

    check_profiles(cluster, path)
    # Nor does a kill lose or double the statistics of a day.
    check_statistics(lake_files(cluster), path, (message.value for message in sent), tmp_path)
    assert cluster.python("customer_profiles.processing", "process").stdout.startswith(
        "Nothing new:"
    )
