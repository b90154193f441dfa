"""Processing that loses its driver, its worker, an executor or a Python process ends as if nothing had happened."""

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

from contracts import DEAD_LETTERS, RAW_EVENTS
from scripts.make_sample import make_events
from stack.settings import Settings
from stack.supervisor import Supervisor
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
MISFITS = 7


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of its own, because its processes are killed; small batches, so that a run has many steps."""
    with running(tmp_path_factory.mktemp("stack"), BATCH_EVENTS="1500") as stack:
        yield stack


def victims(stack: Stack, driver: int) -> dict[str, int]:
    """What there is to be killed now, by what it is."""
    found = {"driver": driver}
    state = Supervisor(Settings.from_env(stack.environ), print).state("spark-worker")
    if state:
        found["worker"] = state.pid
        for child in psutil.Process(state.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                command = " ".join(child.cmdline())
                if "CoarseGrainedExecutorBackend" in command:
                    found["executor"] = child.pid
                elif "pyspark.daemon" in command:
                    # Children come after their parent: the last one is a worker, not the daemon.
                    found["python"] = child.pid
    return found


def run_and_kill(stack: Stack, wanted: list[str], dice: random.Random) -> list[str]:
    """Run `make process` and kill its processes, one after the other, until it ends; returns which."""
    command = [sys.executable, "-m", "processing", "process", "--brief"]
    log = stack.reports / "killed.log"
    killed: list[str] = []
    with (
        log.open("wb") as out,
        subprocess.Popen(command, cwd=ROOT, env=dict(stack.environ), stdout=out, stderr=out) as run,
    ):
        while b"starting Spark" not in log.read_bytes():
            if run.poll() is not None:
                break
            time.sleep(0.05)
        try:
            while run.poll() is None and len(killed) < len(wanted):
                with suppress(subprocess.TimeoutExpired):
                    run.wait(dice.uniform(0.3, 6))
                    break
                victim = wanted[len(killed)]
                found = victims(stack, run.pid)
                if victim not in found:
                    continue
                os.kill(found[victim], signal.SIGKILL)
                killed.append(victim)
                if victim == "worker":
                    assert stack.python("stack", "up").returncode == 0
            # It outlives its helpers, or ends with an error that says how to go on.
            assert run.wait(200) in (0, 1, -signal.SIGKILL), log.read_text()
        finally:
            run.kill()
    return killed


def publish_misfits(stack: Stack) -> int:
    """Publish what is no event to each partition; returns how many."""
    producer = KafkaProducer(bootstrap_servers=stack.ingestion.bootstrap_servers)
    for number in range(MISFITS):
        producer.send(RAW_EVENTS.name, b"no event %d" % number, partition=number % 3)
    producer.flush()
    producer.close()
    return MISFITS


def archived(stack: Stack) -> pl.DataFrame:
    """Every row of `events/`."""
    columns = ["event_id", "kafka_partition", "kafka_offset"]
    table = pq.read_table("data-lake/events", filesystem=lake_files(stack), columns=columns)
    found = pl.from_arrow(table)
    assert isinstance(found, pl.DataFrame)
    return found


def test_twenty_kills_of_any_process_at_random_moments_change_nothing(cluster: Stack, tmp_path: Path) -> None:
    dice = random.Random(SEED)  # noqa: S311 - which moments does not matter, that they can be had again does
    wanted = ["driver", "worker", "executor", "python"] * (KILLS // 4)
    dice.shuffle(wanted)
    path = tmp_path / "events.csv"
    rows = make_events(ROWS, SEED).filter(pl.col("user_session").is_not_null())
    left, part, misfits = list(wanted), 0, 0
    while left:
        # Each part has customers of the parts before it; after the last one, the same events come again.
        part += 1
        rows[: part * ROWS // PARTS].write_csv(path)
        ingest(cluster, path, **({"REINGEST": "1"} if part > PARTS else {}))
        misfits += publish_misfits(cluster)
        while left and (killed := run_and_kill(cluster, left, dice)):
            left = left[len(killed) :]
    rows.write_csv(path)
    ingest(cluster, path)
    process(cluster)

    sent = [message for message in messages(cluster, RAW_EVENTS.name) if not message.value.startswith(b"no event")]
    lake = archived(cluster)
    places = Counter(lake.select("kafka_partition", "kafka_offset").iter_rows())
    assert places == Counter((message.partition, message.offset) for message in sent)

    letters = Counter(message.key for message in messages(cluster, DEAD_LETTERS.name))
    places_of_misfits = [key for key in letters if key and key.startswith(b"raw_events/")]
    assert len(places_of_misfits) == misfits
    assert {letters[key] for key in places_of_misfits} == {1}

    check_profiles(cluster, path)
    assert cluster.python("processing", "process").stdout.startswith("Nothing new:")
