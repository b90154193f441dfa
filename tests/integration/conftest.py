"""A stack of real servers for the tests alone: other ports, its own data, the built servers shared."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from ingestion.settings import Settings as IngestionSettings
from processing.settings import Settings as ProcessingSettings
from stack.settings import PORT_DEFAULTS
from tests.support import ROOT


@dataclass(frozen=True, slots=True)
class Stack:
    """The environment in which every command meets the servers of the tests."""

    environ: Mapping[str, str]
    reports: Path

    @property
    def ingestion(self) -> IngestionSettings:
        return IngestionSettings.from_env(self.environ)

    @property
    def processing(self) -> ProcessingSettings:
        return ProcessingSettings.from_env(self.environ)

    def run(self, *command: str, given: str = "", **changes: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a user does, in the project's folder; `given` is its standard input."""
        environ = {**self.environ, **changes}
        return subprocess.run(command, cwd=ROOT, env=environ, input=given, capture_output=True, text=True, timeout=300)

    def python(self, *arguments: str, given: str = "", **changes: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", *arguments, given=given, **changes)


def free_ports(names: Mapping[str, int]) -> dict[str, str]:
    """A free port for each name, held until all are known."""
    with ExitStack() as held:
        probes = {name: held.enter_context(socket.socket()) for name in names}
        for probe in probes.values():
            probe.bind(("127.0.0.1", 0))
        return {name: str(probe.getsockname()[1]) for name, probe in probes.items()}


def environment(home: Path) -> dict[str, str]:
    """What the commands need to work on a stack of their own under `home`."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    return {
        **inherited,
        **free_ports(PORT_DEFAULTS),
        "STACK_HOME": str(home),
        "STACK_DIST": os.environ.get("STACK_DIST") or str(ROOT / ".stack" / "dist"),
        "MINIO_ROOT_USER": "tests",
        "MINIO_ROOT_PASSWORD": "only-for-tests",
        "KAFKA_BOOTSTRAP_SERVERS": "",
        "SPARK_MASTER_URL": "",
        "MINIO_ADDRESS": "",
        "ELASTICSEARCH_URL": "",
        "BUCKETS": "4",
        "REPORTS": str(home / "reports"),
    }


def messages(stack: Stack, topic: str) -> list[Any]:
    """Every committed message, by kafka-python: the client that did not write them."""
    consumer = KafkaConsumer(
        bootstrap_servers=stack.ingestion.bootstrap_servers, isolation_level="read_committed", enable_auto_commit=False
    )
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(partitions)
        found: list[Any] = []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for batch in consumer.poll(timeout_ms=1_000).values():
                found += batch
        return found
    finally:
        consumer.close()


@pytest.fixture
def fresh_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that is described but not started."""
    home = tmp_path_factory.mktemp("stack")
    stack = Stack(environment(home), home / "reports")
    yield stack
    stack.python("stack", "down")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack with nothing in it; one for all tests of a session."""
    home = tmp_path_factory.mktemp("stack")
    stack = Stack(environment(home), home / "reports")
    try:
        up = stack.python("stack", "up")
        assert up.returncode == 0, up.stdout + up.stderr
        yield stack
    finally:
        down = stack.python("stack", "down")
    assert down.returncode == 0, down.stdout + down.stderr
