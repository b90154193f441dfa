"""A stack of real servers for the tests alone: other ports, its own data, the built servers shared."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from kafka import KafkaConsumer, TopicPartition
from polars.testing import assert_frame_equal
from pyarrow.fs import S3FileSystem

from ingestion.settings import Settings as IngestionSettings
from processing.index import documents
from processing.profiles import PROFILE_SCHEMA
from processing.settings import Settings as ProcessingSettings
from stack.apart import apart
from tests.support import ROOT, oracle


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


def environment(home: Path) -> dict[str, str]:
    """What the commands need to work on a stack of their own under `home`."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    changes = {"MINIO_ROOT_USER": "tests", "MINIO_ROOT_PASSWORD": "only-for-tests", "BUCKETS": "4"}
    return apart(home, {**inherited, **changes})


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


def search(stack: Stack, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """What Elasticsearch answers."""
    request = urllib.request.Request(
        f"{stack.processing.elasticsearch_url}/{path}",
        json.dumps(body).encode() if body else None,
        {"content-type": "application/json"},
    )
    if password := stack.processing.elasticsearch_password:
        request.add_header("authorization", "Basic " + base64.b64encode(f"elastic:{password}".encode()).decode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def lake_files(stack: Stack) -> S3FileSystem:
    settings = stack.processing
    return S3FileSystem(
        access_key=settings.minio_user,
        secret_key=settings.minio_password,
        endpoint_override=settings.minio_address,
        scheme="http",
    )


def lake_profiles(stack: Stack) -> pd.DataFrame:
    return pd.read_parquet("data-lake/customer_profiles", filesystem=lake_files(stack))


def ingest(stack: Stack, path: Path, **changes: str) -> dict[str, Any]:
    done = stack.python("ingestion", "ingest", str(path), **changes)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads((stack.reports / "ingest-latest.json").read_text())
    return report


def process(stack: Stack, command: str = "process", **changes: str) -> dict[str, Any]:
    done = stack.python("processing", command, **changes)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads((stack.reports / "process-latest.json").read_text())
    return report


def check_profiles(stack: Stack, csv: Path) -> None:
    """Every field of every profile in the lake is what DuckDB computes from the CSV; the index has the same.

    Of the index, the number of documents and their sums are compared, and the first thousands of
    documents with the lake, field by field.
    """
    expected = oracle(csv)
    profiles = pl.from_pandas(lake_profiles(stack)).drop("bucket").sort("user_id")
    assert profiles.columns == list(PROFILE_SCHEMA)
    frame = profiles.drop("profile_generated_at", "segments_version")
    frame = frame.with_columns(pl.col("first_seen", "last_seen").dt.replace_time_zone(None).cast(pl.Datetime("us")))
    types = {name: dtype for name, dtype in expected.schema.items() if name in frame.columns}
    assert_frame_equal(frame.cast(dict(types)), expected.select(frame.columns), check_exact=True)

    counts = ["total_events", "total_purchases", "total_revenue"]
    sums = {name: {"sum": {"field": name}} for name in counts}
    found = search(stack, "customer_profiles/_search?size=10000&sort=user_id", {"aggs": sums, "track_total_hits": True})
    assert found["hits"]["total"]["value"] == expected.height
    for name in counts:
        assert round(found["aggregations"][name]["value"], 2) == float(expected[name].sum())
    hits = found["hits"]["hits"]
    assert all(hit["_id"] == hit["_source"]["user_id"] for hit in hits)
    texts = documents(profiles.head(len(hits)).cast(PROFILE_SCHEMA))["document"]
    assert [hit["_source"] for hit in hits] == [json.loads(text) for text in texts]


@contextmanager
def running(home: Path, **changes: str) -> Iterator[Stack]:
    """A running stack with nothing in it, stopped at the end."""
    stack = Stack({**environment(home), **changes}, home / "reports")
    try:
        up = stack.python("stack", "up")
        assert up.returncode == 0, up.stdout + up.stderr
        yield stack
    finally:
        down = stack.python("stack", "down")
    assert down.returncode == 0, down.stdout + down.stderr


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
    with running(tmp_path_factory.mktemp("stack")) as stack:
        yield stack
