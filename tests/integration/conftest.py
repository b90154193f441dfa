"""Stacks of real servers for the tests, each with its own ports and data."""

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

from customer_profiles.ingestion.settings import Settings as IngestionSettings
from customer_profiles.kafka.kafka_python import connection_options
from customer_profiles.processing.settings import Settings as ProcessingSettings
from customer_profiles.processing.tasks.config import TaskConfig
from customer_profiles.profiles.schema import PROFILE_SCHEMA
from customer_profiles.search.documents import documents
from stack.isolated import isolated_environment
from tests.support import ROOT, oracle


@dataclass(frozen=True, slots=True)
class Stack:
    """The environment that makes every command use the servers of a test stack."""

    environ: Mapping[str, str]
    reports: Path

    @property
    def ingestion(self) -> IngestionSettings:
        return IngestionSettings.from_env(self.environ)

    @property
    def processing(self) -> ProcessingSettings:
        return ProcessingSettings.from_env(self.environ)

    def run(
        self, *command: str, stdin: str = "", **changes: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the project's folder, as a user does. `stdin` is its standard input."""
        environ = {**self.environ, **changes}
        return subprocess.run(
            command, cwd=ROOT, env=environ, input=stdin, capture_output=True, text=True, timeout=300
        )

    def python(
        self, *arguments: str, stdin: str = "", **changes: str
    ) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", *arguments, stdin=stdin, **changes)


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a separate stack below `home`."""
    inherited = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")
    }
    secrets = ("MINIO_ROOT_PASSWORD", "KAFKA_PASSWORD", "SPARK_AUTH_SECRET", "ELASTIC_PASSWORD")
    changes = {"MINIO_ROOT_USER": "tests", "BUCKETS": "4"}
    # Each is different, so that a test finds out which of them appears where it should not.
    changes |= {name: f"only-for-tests-{name.lower()}" for name in secrets}
    if os.environ.get("PYTEST_XDIST_WORKER", "gw0") != "gw0":
        # Each process of the tests has its own: two runs must not write the same archive at once.
        changes["SPARK_CLASS_ARCHIVES"] = str(home.parent)
    return isolated_environment(home, {**inherited, **changes})


def messages(stack: Stack, topic: str) -> list[Any]:
    """Read every committed message with kafka-python, which is not the default writer."""
    consumer = KafkaConsumer(
        **connection_options(stack.ingestion.kafka),
        isolation_level="read_committed",
        enable_auto_commit=False,
    )
    try:
        partitions = [
            TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()
        ]
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        end_offsets = consumer.end_offsets(partitions)
        records: list[Any] = []
        while any(
            consumer.position(partition) < end_offsets[partition] for partition in partitions
        ):
            for batch in consumer.poll(timeout_ms=1_000).values():
                records += batch
        return records
    finally:
        consumer.close()


def search(
    stack: Stack, path: str, body: Mapping[str, Any] | None = None, method: str | None = None
) -> Any:
    """Send a request to Elasticsearch and return its response."""
    request = urllib.request.Request(
        f"{stack.processing.elasticsearch_url}/{path}",
        json.dumps(body).encode() if body else None,
        {"content-type": "application/json"},
        method=method,
    )
    if password := TaskConfig.from_settings(stack.processing).search.password:
        request.add_header(
            "authorization", "Basic " + base64.b64encode(f"elastic:{password}".encode()).decode()
        )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def lake_files(stack: Stack) -> S3FileSystem:
    config = TaskConfig.from_settings(stack.processing).lake
    return S3FileSystem(
        access_key=config.access_key,
        secret_key=config.secret_key,
        endpoint_override=config.address,
        scheme="http",
    )


def lake_profiles(stack: Stack) -> pd.DataFrame:
    return pd.read_parquet("data-lake/customer_profiles", filesystem=lake_files(stack))


def ingest(stack: Stack, path: Path, **changes: str) -> dict[str, Any]:
    completed = stack.python("customer_profiles.ingestion", "ingest", str(path), **changes)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    report: dict[str, Any] = json.loads((stack.reports / "ingest-latest.json").read_text())
    return report


def process(stack: Stack, command: str = "process", **changes: str) -> dict[str, Any]:
    completed = stack.python("customer_profiles.processing", command, **changes)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    report: dict[str, Any] = json.loads((stack.reports / "process-latest.json").read_text())
    return report


def check_profiles(stack: Stack, csv: Path) -> None:
    """Check every field of every profile against what DuckDB computes from the CSV.

    The index must have the same number of documents with the same sums. Its first 10,000 documents
    must equal the profiles of the lake, field by field, and have the days with events.
    """
    expected = oracle(csv)
    profiles = pl.from_pandas(lake_profiles(stack)).drop("bucket").sort("user_id")
    assert profiles.columns == list(PROFILE_SCHEMA)
    frame = profiles.drop("profile_generated_at", "segments_version")
    frame = frame.with_columns(
        pl.col("first_seen", "last_seen").dt.replace_time_zone(None).cast(pl.Datetime("us"))
    )
    types = {name: dtype for name, dtype in expected.schema.items() if name in frame.columns}
    assert_frame_equal(frame.cast(dict(types)), expected.select(frame.columns), check_exact=True)

    counts = ["total_events", "total_purchases", "total_revenue"]
    sums = {name: {"sum": {"field": name}} for name in counts}
    response = search(
        stack,
        "customer_profiles/_search?size=10000&sort=user_id",
        {"aggs": sums, "track_total_hits": True},
    )
    assert response["hits"]["total"]["value"] == expected.height
    for name in counts:
        assert round(response["aggregations"][name]["value"], 2) == float(expected[name].sum())
    hits = response["hits"]["hits"]
    assert all(hit["_id"] == hit["_source"]["user_id"] for hit in hits)
    first = profiles.head(len(hits)).cast(PROFILE_SCHEMA)
    days = expected.select("user_id", "event_days")
    indexed = first.join(days, on="user_id", how="left", maintain_order="left")
    texts = documents(indexed)["document"]
    assert [hit["_source"] for hit in hits] == [json.loads(text) for text in texts]


@contextmanager
def running(home: Path, **changes: str) -> Iterator[Stack]:
    """Start an empty stack, and stop it at the end."""
    stack = Stack({**environment(home), **changes}, home / "reports")
    try:
        started = stack.python("stack", "up")
        assert started.returncode == 0, started.stdout + started.stderr
        yield stack
    finally:
        stopped = stack.python("stack", "down")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr


@pytest.fixture
def fresh_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that is configured but not started."""
    home = tmp_path_factory.mktemp("stack")
    stack = Stack(environment(home), home / "reports")
    yield stack
    stack.python("stack", "down")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack, empty at first, which all tests of a session share."""
    with running(tmp_path_factory.mktemp("stack")) as stack:
        yield stack
