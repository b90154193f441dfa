#!/usr/bin/env python
"""How fast a full topic becomes profiles in lake and index: ours, a plain Spark job and DuckDB, and how ours grows.

Every measurement has servers of its own with nothing in them, beside the running stack or without it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psutil
from dotenv import dotenv_values

from processing.lake import Lake
from processing.settings import Settings
from scripts.keep import keep, machine
from stack.apart import apart

ROOT = Path(__file__).resolve().parent.parent
ROWS = 885_129
NEW_EVENTS = 1_000
PLAIN = "a plain Spark job: `from_json`, `groupBy`, `collect`, `helpers.bulk`"
SAMPLE_S = 0.5


@dataclass(slots=True)
class Peak:
    """The most memory that all processes of a stack and of what runs on it had at once, in MB."""

    total: float = 0.0
    anonymous: float = 0.0
    """Without what maps files, which the system takes back when it is needed elsewhere."""


class Bench:
    """A stack of its own for one measurement."""

    def __init__(self, home: Path, environ: Mapping[str, str]) -> None:
        self.environ = apart(home, environ)
        self.reports = home / "reports"

    def python(self, *arguments: str) -> str:
        command = [sys.executable, "-m", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environ, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"error: {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def process(self) -> dict[str, Any]:
        """`make process`; its report, with the seconds of the whole command."""
        began = time.perf_counter()
        self.python("processing", "process")
        seconds = time.perf_counter() - began
        report: dict[str, Any] = json.loads((self.reports / "process-latest.json").read_text())
        return {**report, "seconds": seconds}


@contextmanager
def stack(environ: Mapping[str, str]) -> Iterator[Bench]:
    """Servers with nothing in them, for as long as it takes."""
    home = ROOT / (environ.get("STACK_HOME") or ".stack") / "bench"
    shutil.rmtree(home, ignore_errors=True)
    bench = Bench(home, environ)
    try:
        bench.python("stack", "up")
        yield bench
    finally:
        subprocess.run([sys.executable, "-m", "stack", "down"], cwd=ROOT, env=bench.environ, stdout=subprocess.DEVNULL)
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def watched(home: str, every_s: float = SAMPLE_S) -> Iterator[Peak]:
    """Sample the memory of every process that belongs to a stack."""
    peak, over = Peak(), threading.Event()

    def sample() -> None:
        while not over.wait(every_s):
            total = anonymous = 0.0
            for process in psutil.process_iter():
                try:
                    if process.environ().get("STACK_HOME") != home:
                        continue
                    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
                except (psutil.Error, OSError):
                    continue
                sizes = {line.split(":")[0]: line.split()[1] for line in rollup.splitlines()[1:]}
                total += int(sizes["Pss"]) / 1024
                anonymous += int(sizes["Pss_Anon"]) / 1024
            peak.total, peak.anonymous = max(peak.total, total), max(peak.anonymous, anonymous)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def floor(path: Path) -> float:
    """DuckDB straight from the CSV: no Kafka, no lake, no index, no checks, nothing kept."""
    began = time.perf_counter()
    duckdb.sql(
        f"""
        with events as (select distinct * from read_csv('{path}', all_varchar = true, header = true)
                        where user_session is not null)
        select user_id, count(*), count(distinct user_session), count(*) filter (event_type = 'purchase'),
            count(*) filter (event_type = 'view'), count(*) filter (event_type = 'cart'),
            sum(price::decimal(18, 4)) filter (event_type = 'purchase'), count(distinct event_time[:10]),
            min(event_time), max(event_time), mode(category_code), mode(brand)
        from events group by user_id
        """  # noqa: S608 - a path of ours
    ).fetchnumpy()
    return time.perf_counter() - began


def sample(rows: int, seed: int, path: Path) -> None:
    command = [sys.executable, "-m", "scripts.make_sample", *f"--rows {rows} --seed {seed} --force --out".split()]
    subprocess.run([*command, str(path)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def ours(factor: int, folder: Path, environ: Mapping[str, str]) -> tuple[dict[str, Any], Peak]:
    """One full run on fresh servers."""
    path = folder / f"events-{factor}.csv"
    sample(ROWS * factor, 1, path)
    with stack(environ) as bench:
        bench.python("ingestion", "ingest", str(path))
        with watched(bench.environ["STACK_HOME"]) as peak:
            report = bench.process()
    if factor > 1:
        path.unlink()
    stages = " ".join(f"{name} {seconds:.1f}" for name, seconds in report["seconds_by_stage"].items())
    print(
        f"  {report['seconds']:7.1f} s  {report['events']:>10,} events, {report['customers']:,} customers; {stages}; "
        f"at most {peak.total:,.0f} MB, {peak.anonymous:,.0f} without mapped files",
        flush=True,
    )
    return report, peak


def plain(path: Path, environ: Mapping[str, str]) -> tuple[float, float]:
    """The plain Spark job on fresh servers: seconds until its index is filled, and those of the whole command."""
    with stack(environ) as bench:
        bench.python("ingestion", "ingest", str(path))
        bench.python("stack", "spark-jars")
        Lake(Settings.from_env(bench.environ)).ensure()
        began = time.time()
        said = bench.python("scripts.plain_job", str(Path(bench.environ["STACK_DIST"]) / "spark-jars"))
        seconds = time.time() - began
    indexed = float(said.split("indexed at ")[1].split()[0]) - began
    print(f"  {seconds:7.1f} s  a plain Spark job, its index filled after {indexed:.1f} s", flush=True)
    return indexed, seconds


def again(path: Path, folder: Path, environ: Mapping[str, str]) -> tuple[float, float, float]:
    """Ours on fresh servers; then with little on top; then with nothing new. Seconds."""
    more = folder / "more.csv"
    sample(NEW_EVENTS, 2, more)
    with stack(environ) as bench:
        bench.python("ingestion", "ingest", str(path))
        full = bench.process()["seconds"]
        bench.python("ingestion", "ingest", str(more))
        little, nothing = bench.process()["seconds"], bench.process()["seconds"]
    print(
        f"  {full:7.1f} s  ours once more; {little:.1f} s with new events, {nothing:.1f} s with nothing new", flush=True
    )
    return full, little, nothing


def peers(path: Path, folder: Path, environ: Mapping[str, str], first: dict[str, Any]) -> list[tuple[str, int, float]]:
    """Names, events and seconds of ours, its peers, and ours with little or nothing new."""
    full, little, nothing = again(path, folder, environ)
    events = first["events_landed"]
    indexed, seconds = plain(path, environ)
    return [
        ("ours: exact, incremental, every message accounted for", events, min(first["seconds"], full)),
        (PLAIN, events, indexed),
        ("the same, and the summary printed, as ours does", events, seconds),
        ("DuckDB from the CSV: no Kafka, no lake, no index", events, min(floor(path) for _ in range(3))),
        (f"ours with {NEW_EVENTS:,} new events on top", NEW_EVENTS, little),
        ("ours with nothing new", 0, nothing),
    ]


def tables(compared: list[tuple[str, int, float]], grown: list[tuple[dict[str, Any], Peak]]) -> str:
    events = compared[0][1]
    peer = next(seconds for name, _, seconds in compared if name == PLAIN)
    lines = [
        f"{events:,} events; {machine()}; servers on the same cores, freshly started for each way; seconds of the "
        "whole command, Spark's start included; ours the better of two.",
        "",
        "| way | seconds | events/s | times the plain job |",
        "|---|---:|---:|---:|",
    ]
    for name, count, seconds in compared:
        rate, ratio = (f"{count / seconds:,.0f}", f"{peer / seconds:.1f}") if count == events else ("", "")
        lines.append(f"| {name} | {seconds:.1f} | {rate} | {ratio} |")
    first, base = grown[0]
    lines += [
        "",
        "| events | customers | seconds | times the first | land | profiles and index | memory, MB "
        "| without mapped files |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for report, peak in grown:
        stages = report["seconds_by_stage"]
        lines.append(
            f"| {report['events']:,} | {report['customers']:,} | {report['seconds']:.1f} "
            f"| {report['seconds'] / first['seconds']:.1f} | {stages['land']:.1f} | {stages['profile']:.1f} "
            f"| {peak.total:,.0f} ({peak.total / base.total:.2f} times) "
            f"| {peak.anonymous:,.0f} ({peak.anonymous / base.anonymous:.2f} times) |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench_process.py", description=__doc__)
    parser.add_argument("--growth", type=int, nargs="*", default=[3, 10], help="times the rows (default: 3 10)")
    parser.add_argument("--keep", type=Path, metavar="MD", help="also replace the tables in this document")
    given = parser.parse_args(arguments)
    environ = {key: value or "" for key, value in {**dotenv_values(".env"), **os.environ}.items()}
    folder = ROOT / "data" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        grown = [ours(factor, folder, environ) for factor in (1, *given.growth)]
        compared = peers(folder / "events-1.csv", folder, environ, grown[0][0])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = tables(compared, grown)
    print(text)
    if given.keep:
        keep(text, "bench-process", given.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
