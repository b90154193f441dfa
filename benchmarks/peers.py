"""The peers of the processing: a plain Spark job, and DuckDB straight from the CSV."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import duckdb

from benchmarks.servers import BenchStack, filled_stack

RUNS = 2
"""Runs on fresh servers, and runs on servers in use. The best of each counts."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunTime:
    """The seconds of one full run, from the start of its command."""

    indexed: float
    """Until the index is filled."""
    whole: float
    """Until the command ends. It prints the summary; ours also fills the dashboards' indices."""

    @classmethod
    def of_report(cls, report: Mapping[str, Any]) -> Self:
        """Read the times of our processing from `BenchStack.process`."""
        stages = report["seconds_by_stage"]
        after_index = stages["chart"] + stages["finish"]
        return cls(report["reported"] - after_index, report["seconds"])

    @classmethod
    def best(cls, runs: Iterable[RunTime]) -> RunTime:
        """Return the run with the shortest whole time."""
        return min(runs, key=lambda run: run.whole)


def run_plain_job(path: Path, environ: Mapping[str, str]) -> tuple[RunTime, RunTime]:
    """Measure the plain Spark job: on fresh servers, and on the same servers in use."""
    fresh: list[RunTime] = []
    while len(fresh) < RUNS:
        with filled_stack(path, environ) as bench:
            bench.python("stack", "spark-jars")
            fresh.append(_plain_job_once(bench))
            if len(fresh) == RUNS:
                in_use = RunTime.best(_plain_job_once(bench) for _ in range(RUNS))
    best = RunTime.best(fresh)
    for name, run in (("a plain Spark job", best), ("the same on servers in use", in_use)):
        logger.info("%7.1f s  %s, its index filled after %.1f s", run.whole, name, run.indexed)
    return best, in_use


def _plain_job_once(bench: BenchStack) -> RunTime:
    bench.empty()
    jars = Path(bench.environ["STACK_DIST"]) / "spark-jars"
    began = time.time()
    output = bench.python("benchmarks.plain_job", str(jars))
    whole = time.time() - began
    return RunTime(float(output.split("indexed at ")[1].split()[0]) - began, whole)


def run_duckdb(path: Path) -> float:
    """Measure DuckDB straight from the CSV, the floor of what is possible.

    It has no Kafka, no lake and no index, checks nothing and keeps nothing.

    Returns:
        Seconds.
    """
    began = time.perf_counter()
    duckdb.sql(
        f"""
        with events as (select distinct * from read_csv('{path}', all_varchar = true, header = true)
                        where user_session is not null)
        select user_id, count(*), count(distinct user_session),
            count(*) filter (event_type = 'purchase'), count(*) filter (event_type = 'view'),
            count(*) filter (event_type = 'cart'),
            sum(price::decimal(18, 4)) filter (event_type = 'purchase'),
            count(distinct event_time[:10]), min(event_time), max(event_time),
            mode(category_code), mode(brand)
        from events group by user_id
        """  # noqa: S608 (the path is the benchmark's own)
    ).fetchnumpy()
    return time.perf_counter() - began
