"""An ingestion that is killed and run again ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from customer_profiles.contracts import DEAD_LETTERS, PROGRESS, RAW_EVENTS, TOPICS
from customer_profiles.kafka.admin import end_offsets
from scripts.make_sample import make_events
from stack.settings import Settings
from stack.supervisor import Supervisor
from tests.integration.conftest import Stack, messages, running
from tests.support import ROOT

KILLS = 20
ROWS = 60_000
SEED = 20
BLOCK_MB = "0.2"
"""About 35 transactions per file, so that most kills interrupt one."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A separate stack, because the tests kill its broker."""
    with running(tmp_path_factory.mktemp("stack"), BLOCK_MB=BLOCK_MB) as stack:
        yield stack


@dataclass(frozen=True, slots=True)
class Files:
    """Files with rejected rows and repeats, and what undisturbed runs make of them."""

    paths: list[Path]
    events: Counter[tuple[bytes, bytes]]
    letters: Counter[bytes]


def in_topics(stack: Stack) -> tuple[Counter[tuple[bytes, bytes]], Counter[bytes]]:
    events = Counter((message.key, message.value) for message in messages(stack, RAW_EVENTS.name))
    return events, Counter(message.value for message in messages(stack, DEAD_LETTERS.name))


def forget(stack: Stack) -> None:
    """Remove all topics, and return when they are gone."""
    admin = AdminClient({**stack.ingestion.kafka.client_settings()})
    for future in admin.delete_topics([topic.name for topic in TOPICS]).values():
        future.result(timeout=30)
    deadline = time.monotonic() + 30
    while {topic.name for topic in TOPICS} & set(admin.list_topics(timeout=10).topics):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def files(broker: Stack, tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("data")
    paths = []
    for number in range(5):
        path = folder / f"events-{number}.csv"
        rows = make_events(ROWS, SEED + number)
        rows.vstack(rows[1_000:1_050]).write_csv(path)
        paths.append(path)
        done = broker.python("customer_profiles.ingestion", "ingest", str(path))
        assert done.returncode == 0, done.stderr
    events, letters = in_topics(broker)
    assert events.total() > 4.9 * ROWS
    assert letters
    return Files(paths, events, letters)


def start(stack: Stack, path: Path, **changes: str) -> subprocess.Popen[str]:
    """Start an ingestion and return it once it has acquired its source."""
    command = [sys.executable, "-m", "customer_profiles.ingestion", "ingest", str(path)]
    environ = {**stack.environ, **changes, "PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True)
    assert running.stdout
    assert running.stdout.readline().startswith("Ingesting")
    return running


def test_twenty_kills_at_random_moments_change_nothing(broker: Stack, files: Files) -> None:
    forget(broker)
    dice = random.Random(SEED)  # noqa: S311 - the moments need to be reproducible, not unpredictable
    killed = 0
    for path in files.paths:
        while killed < KILLS:
            running = start(broker, path)
            try:
                running.communicate(timeout=dice.uniform(0, 0.3))
                break
            except subprocess.TimeoutExpired:
                running.kill()
                running.communicate()
                killed += 1
        done = broker.python("customer_profiles.ingestion", "ingest", str(path))
        assert done.returncode == 0, done.stderr
    assert killed == KILLS
    assert in_topics(broker) == (files.events, files.letters)


def test_a_broker_that_is_killed_and_comes_back_changes_nothing(
    broker: Stack, files: Files
) -> None:
    forget(broker)
    for number, path in enumerate(files.paths):
        if number:
            assert broker.python("customer_profiles.ingestion", "ingest", str(path)).returncode == 0
            continue
        # The run needs hundreds of transactions, so that the broker dies amid them.
        running = start(broker, path, BLOCK_MB="0.01")
        deadline = time.monotonic() + 60
        while sum(end_offsets(broker.ingestion.kafka, PROGRESS).values()) < 8:
            assert time.monotonic() < deadline
        state = Supervisor(Settings.from_env(broker.environ)).state("kafka")
        assert state
        os.kill(state.pid, signal.SIGKILL)
        assert running.poll() is None, "the run was over before the broker was killed"
        up = broker.python("stack", "up")
        assert up.returncode == 0, up.stdout + up.stderr
        # The run may survive, or fail with an error that says to run the command again.
        running.communicate(timeout=200)
        again = broker.python("customer_profiles.ingestion", "ingest", str(path))
        assert again.returncode == 0, again.stderr
    assert in_topics(broker) == (files.events, files.letters)
