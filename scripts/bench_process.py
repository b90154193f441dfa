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
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import psutil
from dotenv import dotenv_values

from processing.index import Index
from processing.lake import Lake
from processing.settings import Settings
from scripts.keep import keep, machine
from stack.apart import apart

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
ROWS = 885_129
NEW_EVENTS = 1_000
PLAIN = "a plain Spark job: `from_json`, `groupBy`, `collect`, `helpers.bulk`"
SAMPLE_S = 0.5
RUNS = 2
"""Of each way on fresh servers, and of each on servers in use; the better counts."""


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
        """`make process`; its report, with the seconds of the whole command and those until its report is written."""
        began = time.time()
        self.python("processing", "process")
        seconds = time.time() - began
        path = self.reports / "process-latest.json"
        report: dict[str, Any] = json.loads(path.read_text())
        return {**report, "seconds": seconds, "reported": path.stat().st_mtime - began}

    def empty(self) -> None:
        """Nothing in lake and index; the topic stays."""
        settings = Settings.from_env(self.environ)
        lake = Lake(settings)
        lake.ensure()
        for name in lake.sizes(""):
            lake.remove(name)
        indices = Index(settings).client.indices
        for name in indices.get(index="*").body:
            indices.delete(index=name)

    def emptied(self, run: Callable[[], T]) -> T:
        self.empty()
        return run()


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
def filled(path: Path, environ: Mapping[str, str]) -> Iterator[Bench]:
    """Servers with a full topic and nothing else."""
    with stack(environ) as bench:
        bench.python("ingestion", "ingest", str(path))
        yield bench


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
    with filled(path, environ) as bench, watched(bench.environ["STACK_HOME"]) as peak:
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


@dataclass(frozen=True, slots=True)
class Seconds:
    """Of one full run."""

    indexed: float
    """Until the index is filled."""
    whole: float
    """Until the command ends: with the summary printed, and ours with the charts of dashboards."""

    @classmethod
    def of_ours(cls, report: dict[str, Any]) -> Seconds:
        stages = report["seconds_by_stage"]
        return cls(report["reported"] - stages["chart"] - stages["finish"], report["seconds"])

    @classmethod
    def best(cls, runs: Iterable[Seconds]) -> Seconds:
        return min(runs, key=lambda run: run.whole)


def plain(path: Path, environ: Mapping[str, str]) -> tuple[Seconds, Seconds]:
    """The plain Spark job on fresh servers, and on the same ones when they have been in use."""

    def run() -> Seconds:
        began = time.time()
        said = bench.python("scripts.plain_job", str(Path(bench.environ["STACK_DIST"]) / "spark-jars"))
        whole = time.time() - began
        return Seconds(float(said.split("indexed at ")[1].split()[0]) - began, whole)

    fresh: list[Seconds] = []
    while len(fresh) < RUNS:
        with filled(path, environ) as bench:
            bench.python("stack", "spark-jars")
            bench.empty()
            fresh.append(run())
            if len(fresh) == RUNS:
                warm = Seconds.best(bench.emptied(run) for _ in range(RUNS))
    best = Seconds.best(fresh)
    for name, seconds in (("a plain Spark job", best), ("the same on servers in use", warm)):
        print(f"  {seconds.whole:7.1f} s  {name}, its index filled after {seconds.indexed:.1f} s", flush=True)
    return best, warm


def again(path: Path, folder: Path, environ: Mapping[str, str]) -> tuple[Seconds, Seconds, float, float]:
    """Ours on fresh servers, and on the same ones in use; seconds with little on top, and with nothing new."""
    more = folder / "more.csv"
    sample(NEW_EVENTS, 2, more)
    with filled(path, environ) as bench:
        fresh = Seconds.of_ours(bench.process())
        warm = Seconds.best(bench.emptied(lambda: Seconds.of_ours(bench.process())) for _ in range(RUNS))
        bench.python("ingestion", "ingest", str(more))
        little, nothing = bench.process()["seconds"], bench.process()["seconds"]
    print(
        f"  {fresh.whole:7.1f} s  ours once more; {warm.whole:.1f} s on servers in use; "
        f"{little:.1f} s with new events, {nothing:.1f} s with nothing new",
        flush=True,
    )
    return fresh, warm, little, nothing


def compared(path: Path, folder: Path, environ: Mapping[str, str], first: dict[str, Any]) -> str:
    """The table of ours and its peers."""
    once_more, warm, little, nothing = again(path, folder, environ)
    fresh = Seconds.best([once_more, Seconds.of_ours(first)])
    plain_fresh, plain_warm = plain(path, environ)
    lines = [
        f"{first['events_landed']:,} events; {machine()}; servers on the same cores; seconds from the command's start, "
        f"Spark's included; each the better of {RUNS} runs. Freshly started servers, and the same ones emptied and "
        "used again.",
        "",
        "| way | seconds | against the plain job | servers in use | against the plain job |",
        "|---|---:|---:|---:|---:|",
    ]
    ways = [
        ("ours until its index is filled: exact, incremental, every message accounted for", fresh, warm, "indexed"),
        ("ours with the summary printed and charts made", fresh, warm, "whole"),
        (f"{PLAIN}, until its index is filled", plain_fresh, plain_warm, "indexed"),
        ("the same with the summary printed", plain_fresh, plain_warm, "whole"),
    ]
    for name, *ours_, part in ways:
        row = [name]
        for seconds, peer in zip(ours_, (plain_fresh, plain_warm), strict=True):
            taken, taken_by_peer = getattr(seconds, part), getattr(peer, part)
            row += [f"{taken:.1f}", "" if seconds is peer else f"{taken_by_peer / taken:.1f} times"]
        lines.append(f"| {' | '.join(row)} |")
    for name, taken in (
        ("DuckDB from the CSV: no Kafka, no lake, no index", min(floor(path) for _ in range(3))),
        (f"ours with {NEW_EVENTS:,} new events on top", little),
        ("ours with nothing new", nothing),
    ):
        lines.append(f"| {name} | {taken:.1f} | | | |")
    return "\n".join(lines)


def growth(grown: list[tuple[dict[str, Any], Peak]]) -> str:
    """The table of ours with more and more events."""
    first, base = grown[0]
    lines = [
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
        peers = compared(folder / "events-1.csv", folder, environ, grown[0][0])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = f"{peers}\n\n{growth(grown)}"
    print(text)
    if given.keep:
        keep(text, "bench-process", given.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
