#!/usr/bin/env python
"""Measure how fast rows get into Kafka: ours, a row-by-row producer and kcat, on one broker."""

from __future__ import annotations

import argparse
import csv
import json
import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from kafka import KafkaProducer

from benchmarks.servers import INGESTION, ROOT
from benchmarks.tables import INTERRUPTED, describe_machine, show_table
from customer_profiles.common.cli import run_command
from customer_profiles.common.environ import load_environ
from customer_profiles.common.errors import PipelineError
from customer_profiles.common.logs import configure_logging
from customer_profiles.common.settings import KafkaSettings
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.kafka_python import connection_options

TOPIC = "bench_raw_events"
REPORTS = ROOT / "reports" / "bench"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to get rows into Kafka."""

    name: str
    rounds: int
    """How often it is measured."""
    run: Callable[[], float]
    """Sends the file and returns the seconds."""


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement of one way."""

    name: str
    rows: int
    seconds: float

    @property
    def rate(self) -> float:
        """Rows per second."""
        return self.rows / self.seconds


def run_ours(path: Path, environ: Mapping[str, str], **changes: str) -> float:
    """Run the ingestion as users do.

    Returns:
        The seconds in its report, which leave out the start of Python.
    """
    command = [sys.executable, "-m", INGESTION, "ingest", str(path)]
    env = {**environ, **changes, "REPORTS": str(REPORTS), "REINGEST": "1"}
    subprocess.run(command, cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL)
    report = json.loads((REPORTS / "ingest-latest.json").read_text())
    return float(report["seconds"])


def run_row_by_row(path: Path, kafka: KafkaConfig) -> float:
    """Run the producer of most tutorials: a dictionary, a JSON text and a send for each row."""
    began = time.perf_counter()
    producer = KafkaProducer(**connection_options(kafka), acks="all")
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            producer.send(TOPIC, key=row["user_id"].encode(), value=json.dumps(row).encode())
    producer.flush()
    producer.close()
    return time.perf_counter() - began


def run_kcat(path: Path, kafka: KafkaConfig) -> float:
    """Send raw lines without keys, checks, JSON or transactions: the ceiling."""
    settings = {
        **kafka.client_settings(),
        "acks": "all",
        "compression.codec": "zstd",
        "queue.buffering.max.messages": "1000000",
    }
    # A file and not the command line, which everybody can see: the password is among the settings.
    with NamedTemporaryFile("w") as file:
        file.writelines(f"{name}={value}\n" for name, value in settings.items())
        file.flush()
        began = time.perf_counter()
        command = ["kcat", "-P", "-F", file.name, "-t", TOPIC, "-l", str(path)]
        subprocess.run(command, check=True)
        return time.perf_counter() - began


def list_ways(path: Path, environ: Mapping[str, str], kafka: KafkaConfig, rounds: int) -> list[Way]:
    """Return the ways that this machine can measure."""
    ways = [
        Way("ours: validated, exactly once", rounds, lambda: run_ours(path, environ)),
        Way("`kcat -P -l`: raw lines, the ceiling", rounds, lambda: run_kcat(path, kafka)),
        Way(
            "ours by kafka-python",
            1,
            lambda: run_ours(path, environ, KAFKA_CLIENT="kafka-python"),
        ),
        Way(
            "row by row: csv.DictReader, json.dumps, kafka-python",
            1,
            lambda: run_row_by_row(path, kafka),
        ),
    ]
    if shutil.which("kcat"):
        return ways
    logger.warning(
        "kcat is not installed (apt-get install kcat, brew install kcat): no ceiling is measured"
    )
    return [way for way in ways if "kcat" not in way.name]


@contextmanager
def bench_topic(kafka: KafkaConfig) -> Iterator[None]:
    """Create the topic of the peers, and delete it at the end."""
    admin = AdminClient({**kafka.client_settings(), "log_level": 0})
    if TOPIC not in admin.list_topics(timeout=10).topics:
        admin.create_topics([NewTopic(TOPIC, num_partitions=3)])[TOPIC].result(timeout=30)
    try:
        yield
    finally:
        admin.delete_topics([TOPIC])[TOPIC].result(timeout=30)


def measure(path: Path, environ: Mapping[str, str], rounds: int) -> list[Result]:
    """Measure all ways in turn.

    Returns:
        The best result of each way.
    """
    kafka = KafkaConfig.from_settings(KafkaSettings.from_env(environ))
    with path.open("rb") as file:
        rows = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 22), b"")) - 1
    ways = list_ways(path, environ, kafka, rounds)
    best: dict[str, Result] = {}
    with bench_topic(kafka):
        for number in range(rounds):
            for way in ways:
                if number >= way.rounds:
                    continue
                result = Result(way.name, rows, way.run())
                rate = f"{result.rate:>9,.0f}"
                logger.info("%7.2f s  %s rows/s  %s", result.seconds, rate, way.name)
                best[way.name] = min(best.get(way.name, result), result, key=_seconds)
    return list(best.values())


def _seconds(result: Result) -> float:
    return result.seconds


def results_table(results: list[Result], rounds: int) -> str:
    """Return the table of all ways, the fastest first."""
    slowest = max(results, key=_seconds)
    lines = [
        f"{results[0].rows:,} rows; {describe_machine()}; "
        f"the best of {rounds} rounds in turn (one for the slow ones); broker on the same cores.",
        "",
        "| way | seconds | rows/s | times the slowest |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {result.name} | {result.seconds:.2f} | {result.rate:,.0f} "
        f"| {slowest.seconds / result.seconds:.1f} |"
        for result in sorted(results, key=_seconds)
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="bench_ingest.py", description=__doc__)
    parser.add_argument("file", type=Path, help="CSV file with events, not compressed")
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds of the fast ways (default: %(default)s)"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="MD", help="also replace the table in this document"
    )
    options = parser.parse_args(arguments)
    return run_command(lambda: _run(options), interrupted=INTERRUPTED)


def _run(options: argparse.Namespace) -> int:
    environ = load_environ()
    configure_logging(environ)
    if not options.file.is_file():
        raise PipelineError(f"There is no file {options.file}. Make one with `make sample`.")
    text = results_table(measure(options.file, environ, options.rounds), options.rounds)
    show_table(text, "bench-ingest", options.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
