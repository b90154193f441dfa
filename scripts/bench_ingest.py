#!/usr/bin/env python
"""How fast rows get into Kafka: ours, the usual row-by-row producer and kcat, in one run on one broker."""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from dotenv import dotenv_values
from kafka import KafkaProducer

from ingestion.settings import Settings
from scripts.keep import keep, machine

ROOT = Path(__file__).resolve().parent.parent
TOPIC = "bench_raw_events"


@dataclass(frozen=True, slots=True)
class Result:
    """One way, once."""

    name: str
    rows: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.rows / self.seconds


def ours(path: Path, environ: dict[str, str], reports: Path, **changes: str) -> float:
    """The ingestion as users run it; the seconds of its report, without the start of Python."""
    command = [sys.executable, "-m", "ingestion", "ingest", str(path)]
    env = {**environ, **changes, "REPORTS": str(reports), "REINGEST": "1"}
    subprocess.run(command, cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL)
    report = json.loads((reports / "ingest-latest.json").read_text())
    return float(report["seconds"])


def row_by_row(path: Path, servers: str) -> float:
    """The producer of most tutorials: a dictionary, a JSON text and a send for each row."""
    began = time.perf_counter()
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            producer.send(TOPIC, key=row["user_id"].encode(), value=json.dumps(row).encode())
    producer.flush()
    producer.close()
    return time.perf_counter() - began


def raw_lines(path: Path, servers: str) -> float:
    """The ceiling: lines as they are, without keys, checks, JSON or transactions."""
    settings = ["-X", "acks=all", "-X", "compression.codec=zstd", "-X", "queue.buffering.max.messages=1000000"]
    began = time.perf_counter()
    subprocess.run(["kcat", "-P", "-b", servers, "-t", TOPIC, *settings, "-l", str(path)], check=True)
    return time.perf_counter() - began


def measure(path: Path, environ: dict[str, str], rounds: int) -> list[Result]:
    servers = Settings.from_env(environ).bootstrap_servers
    with path.open("rb") as file:
        rows = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 22), b"")) - 1
    reports = ROOT / "reports" / "bench"
    ways: list[tuple[str, int, Callable[[], float]]] = [
        ("ours: validated, exactly once", rounds, lambda: ours(path, environ, reports)),
        ("`kcat -P -l`: raw lines, the ceiling", rounds, lambda: raw_lines(path, servers)),
        ("ours by kafka-python", 1, lambda: ours(path, environ, reports, KAFKA_CLIENT="kafka-python")),
        ("row by row: csv.DictReader, json.dumps, kafka-python", 1, lambda: row_by_row(path, servers)),
    ]
    if not shutil.which("kcat"):
        print("kcat is not installed (apt-get install kcat, brew install kcat): the ceiling is left out")
        ways = [way for way in ways if "kcat" not in way[0]]
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    present = admin.list_topics(timeout=10).topics
    if TOPIC not in present:
        admin.create_topics([NewTopic(TOPIC, num_partitions=3)])[TOPIC].result(timeout=30)
    best: dict[str, Result] = {}
    try:
        for number in range(rounds):
            for name, times, way in ways:
                if number < times:
                    found = Result(name, rows, way())
                    print(f"  {found.seconds:7.2f} s  {found.rate:>9,.0f} rows/s  {name}", flush=True)
                    best[name] = min(best.get(name, found), found, key=lambda result: result.seconds)
    finally:
        admin.delete_topics([TOPIC])[TOPIC].result(timeout=30)
    return list(best.values())


def table(results: list[Result], rounds: int) -> str:
    slowest = max(results, key=lambda result: result.seconds)
    lines = [
        f"{results[0].rows:,} rows; {machine()}; the best of {rounds} rounds in turn (one for the slow ones); "
        "broker on the same cores.",
        "",
        "| way | seconds | rows/s | times the slowest |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {result.name} | {result.seconds:.2f} | {result.rate:,.0f} | {slowest.seconds / result.seconds:.1f} |"
        for result in sorted(results, key=lambda result: result.seconds)
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench_ingest.py", description=__doc__)
    parser.add_argument("file", type=Path, help="CSV file with events, not compressed")
    parser.add_argument("--rounds", type=int, default=3, help="of the fast ones (default: %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="MD", help="also replace the table in this document")
    given = parser.parse_args(arguments)
    if not given.file.is_file():
        print(f"error: There is no file {given.file}. Make one with `make sample`.", file=sys.stderr)
        return 1
    environ = {key: value or "" for key, value in {**dotenv_values(".env"), **os.environ}.items()}
    text = table(measure(given.file, environ, given.rounds), given.rounds)
    print(text)
    if given.keep:
        keep(text, "bench-ingest", given.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
