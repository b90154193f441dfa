#!/usr/bin/env python
"""Measure how fast a full topic becomes profiles in the lake and the index.

Ours, a plain Spark job and DuckDB, and how ours grows with the number of events. Every measurement
has servers of its own with nothing in them, beside the running stack or without it.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.memory import PeakMemory, watch_memory
from benchmarks.peers import RUNS, RunTime, run_duckdb, run_plain_job
from benchmarks.process_tables import Comparison, comparison_table, growth_table
from benchmarks.servers import ROWS, BenchStack, data_folder, filled_stack, make_sample
from benchmarks.tables import INTERRUPTED, show_table
from customer_profiles.common.cli import run_command
from customer_profiles.common.environ import load_environ
from customer_profiles.common.logs import configure_logging

NEW_EVENTS = 1_000
DUCKDB_RUNS = 3

logger = logging.getLogger(__name__)


def run_once(
    factor: int, folder: Path, environ: Mapping[str, str]
) -> tuple[dict[str, Any], PeakMemory]:
    """Measure one full run of ours on fresh servers.

    Args:
        factor: the number of events, in real files.
        folder: where the file of events is written. Only that of factor 1 stays.
        environ: the settings of this machine.

    Returns:
        The report, as `BenchStack.process` returns it, and the peak memory.
    """
    path = folder / f"events-{factor}.csv"
    make_sample(ROWS * factor, 1, path)
    with filled_stack(path, environ) as bench, watch_memory(bench.home) as peak:
        report = bench.process()
    if factor > 1:
        path.unlink()
    seconds = report["seconds_by_stage"].items()
    stages = " ".join(f"{name} {stage_seconds:.1f}" for name, stage_seconds in seconds)
    logger.info(
        "%7.1f s  %s events, %s customers; %s; at most %s MB, %s without mapped files",
        report["seconds"],
        f"{report['events']:>10,}",
        f"{report['customers']:,}",
        stages,
        f"{peak.total:,.0f}",
        f"{peak.anonymous:,.0f}",
    )
    return report, peak


def run_again(
    path: Path, folder: Path, environ: Mapping[str, str]
) -> tuple[RunTime, RunTime, float, float]:
    """Measure ours on fresh servers, on the same servers in use, and with little to do.

    Returns:
        The run on fresh servers, the best run on servers in use, the seconds with `NEW_EVENTS` more
        events, and the seconds with nothing new.
    """
    more = folder / "more.csv"
    make_sample(NEW_EVENTS, 2, more)
    with filled_stack(path, environ) as bench:
        fresh = RunTime.of_report(bench.process())
        in_use = RunTime.best(_run_emptied(bench) for _ in range(RUNS))
        bench.ingest(more)
        new_events_s = bench.process()["seconds"]
        nothing_new_s = bench.process()["seconds"]
    logger.info(
        "%7.1f s  ours once more; %.1f s on servers in use; %.1f s with new events, "
        "%.1f s with nothing new",
        fresh.whole,
        in_use.whole,
        new_events_s,
        nothing_new_s,
    )
    return fresh, in_use, new_events_s, nothing_new_s


def _run_emptied(bench: BenchStack) -> RunTime:
    bench.empty()
    return RunTime.of_report(bench.process())


def compare(
    path: Path, folder: Path, environ: Mapping[str, str], first: dict[str, Any]
) -> Comparison:
    """Measure ours and its peers with the same file.

    Args:
        path: the file of events.
        folder: where more files of events are written.
        environ: the settings of this machine.
        first: the report of a run of ours with this file.
    """
    fresh, in_use, new_events_s, nothing_new_s = run_again(path, folder, environ)
    plain, plain_in_use = run_plain_job(path, environ)
    return Comparison(
        events=first["events_landed"],
        ours=RunTime.best([fresh, RunTime.of_report(first)]),
        ours_in_use=in_use,
        plain=plain,
        plain_in_use=plain_in_use,
        duckdb_s=min(run_duckdb(path) for _ in range(DUCKDB_RUNS)),
        new_events=NEW_EVENTS,
        new_events_s=new_events_s,
        nothing_new_s=nothing_new_s,
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the tables. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="bench_process.py", description=__doc__)
    parser.add_argument(
        "--growth",
        type=int,
        nargs="*",
        default=[3, 10],
        help="numbers of events to grow to, in real files (default: 3 10)",
    )
    parser.add_argument(
        "--keep", type=Path, metavar="MD", help="also replace the tables in this document"
    )
    options = parser.parse_args(arguments)
    return run_command(lambda: _run(options), interrupted=INTERRUPTED)


def _run(options: argparse.Namespace) -> int:
    environ = load_environ()
    configure_logging(environ)
    with data_folder() as folder:
        runs = [run_once(factor, folder, environ) for factor in (1, *options.growth)]
        comparison = compare(folder / "events-1.csv", folder, environ, runs[0][0])
    text = f"{comparison_table(comparison)}\n\n{growth_table(runs)}"
    show_table(text, "bench-process", options.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
