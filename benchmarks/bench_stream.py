#!/usr/bin/env python
"""Measure how soon after an event its customer's profile has it, with a history, at a steady rate.

A producer sends events at the rate. Five times a second, one of them is a probe, which is searched
in Elasticsearch until it is found. The servers are the benchmark's own, beside the running stack or
without it.
"""

from __future__ import annotations

import argparse
import logging
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.memory import watch_memory
from benchmarks.servers import (
    PROCESSING,
    ROOT,
    ROWS,
    BenchStack,
    data_folder,
    empty_stack,
    make_sample,
)
from benchmarks.settings import Settings
from benchmarks.stream_load import count_events, produce_load, search
from benchmarks.tables import INTERRUPTED, describe_machine, show_table
from customer_profiles.common.cli import run_command
from customer_profiles.common.environ import load_environ
from customer_profiles.common.errors import PipelineError
from customer_profiles.common.logs import configure_logging
from customer_profiles.search.metrics_indices import PIPELINE_RUNS

START_S = 120
"""How long the stream may take to start."""
STOP_S = 300
"""How long the stream may take to stop."""
WARM_UP_S = 60.0
MEMORY_SAMPLE_S = 5.0
"""Samples of memory are rare: on two cores, taking one slows what is measured."""

logger = logging.getLogger(__name__)


@contextmanager
def running_stream(bench: BenchStack) -> Iterator[None]:
    """Run `make stream` until the end of the block, and then stop it as Ctrl-C does."""
    log = bench.reports / "stream.log"
    with log.open("w") as out:
        command = [sys.executable, "-m", PROCESSING, "stream"]
        child = subprocess.Popen(command, cwd=ROOT, env=bench.environ, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + START_S
        while "following" not in log.read_text():
            if child.poll() is not None or time.monotonic() > deadline:
                raise PipelineError(f"The stream did not start:\n{log.read_text()}")
            time.sleep(0.2)
        yield
        child.send_signal(signal.SIGINT)
        if child.wait(STOP_S):
            raise PipelineError(f"The stream failed:\n{log.read_text()}")
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


def measure(bench: BenchStack, rate: int, seconds: float) -> str:
    """Measure one rate and return its row of the table."""
    settings = bench.settings
    before = count_events(settings)
    with running_stream(bench), watch_memory(bench.home, MEMORY_SAMPLE_S) as first:
        # The memory after a minute is what the memory at the end is compared with.
        warm_up = produce_load(settings, rate, min(WARM_UP_S, seconds / 4))
        early_mb = first.anonymous
        with watch_memory(bench.home, MEMORY_SAMPLE_S) as later:
            load = produce_load(settings, rate, seconds)
        batch_s = statistics.median(_batch_seconds(settings))
    lost = before + warm_up.sent + load.sent - count_events(settings)
    latencies = sorted(load.latencies)
    percentiles = statistics.quantiles(latencies, n=100)
    median, p95, p99 = percentiles[49], percentiles[94], percentiles[98]
    logger.info(
        "%s events/s for %.0f s: median %.1f s, p95 %.1f s, p99 %.1f s of %d probes; "
        "%d lost or repeated, %d probes not found",
        f"{rate:,}",
        seconds,
        median,
        p95,
        p99,
        len(latencies),
        lost,
        load.missing,
    )
    return (
        f"| {rate:,} | {seconds:.0f} | {median:.1f} | {p95:.1f} | {p99:.1f} "
        f"| {latencies[-1]:.1f} | {batch_s:.1f} | {lost} "
        f"| {early_mb:,.0f} | {later.anonymous:,.0f} |"
    )


def _batch_seconds(settings: Settings) -> list[float]:
    """Return the seconds of the latest micro-batches."""
    query = {"term": {"kind": "stream"}}
    body = {"size": 1_000, "sort": [{"time": "desc"}], "query": query}
    hits = search(settings, f"{PIPELINE_RUNS}/_search", body)["hits"]["hits"]
    return [hit["_source"]["seconds"] for hit in hits]


def results_table(rows: list[str]) -> str:
    """Return the table of all rates."""
    return "\n".join(
        [
            f"{ROWS:,} rows of history; {describe_machine()}; seconds from producing an event to "
            "finding it in its customer's profile in Elasticsearch; memory of all servers and "
            "the stream, without mapped files, in MB.",
            "",
            "| events/s | for s | median | p95 | p99 | worst | micro-batch (median) "
            "| lost or repeated | memory, first minute | memory, after |",
            "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
            *rows,
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="bench_stream.py", description=__doc__)
    parser.add_argument(
        "--rates", type=int, nargs="*", default=[1_000, 10_000], help="events per second"
    )
    parser.add_argument(
        "--seconds", type=float, nargs="*", default=[600, 60], help="duration of each rate"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="MD", help="also replace the table in this document"
    )
    options = parser.parse_args(arguments)
    return run_command(lambda: _run(options), interrupted=INTERRUPTED)


def _run(options: argparse.Namespace) -> int:
    environ = load_environ()
    configure_logging(environ)
    loads = zip(options.rates, options.seconds, strict=True)
    with data_folder() as folder:
        path = folder / "events-1.csv"
        make_sample(ROWS, 1, path)
        with empty_stack(environ) as bench:
            bench.ingest(path)
            bench.process()
            rows = [measure(bench, rate, seconds) for rate, seconds in loads]
    text = results_table(rows)
    show_table(text, "bench-stream", options.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
