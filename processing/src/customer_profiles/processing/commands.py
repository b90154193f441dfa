"""The commands that process: connect, run a schedule, report what it did."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException

from customer_profiles.common.errors import PipelineError
from customer_profiles.common.progress import ProgressDisplay
from customer_profiles.common.reports import check_folder
from customer_profiles.common.run_record import RunRecord, recorded_run
from customer_profiles.lake.lease import hold_lease
from customer_profiles.lake.s3 import S3Config, S3ObjectStore
from customer_profiles.processing.batch import process
from customer_profiles.processing.outcome import exit_code, failure_of, write_report
from customer_profiles.processing.render import (
    micro_batch_line,
    print_gaps,
    print_run,
    print_waiting,
    summary,
)
from customer_profiles.processing.report import MicroBatch, RunReport
from customer_profiles.processing.settings import Settings
from customer_profiles.processing.spark.cluster import Progress
from customer_profiles.processing.spark.jvm import DriverJvm
from customer_profiles.processing.spark.session import SparkSession
from customer_profiles.processing.state import Context
from customer_profiles.processing.stream import follow
from customer_profiles.profiles.segments import DEFAULT_SEGMENTS, read_segments
from customer_profiles.telemetry.runs import observed_run
from customer_profiles.telemetry.stream import StreamMetrics

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)

LOG_EVERY_S = 10.0
"""Between two lines about a stream's batches where no terminal shows each of them."""


def run_command(
    arguments: argparse.Namespace, settings: Settings, console: Console, jvm: DriverJvm
) -> int:
    """Run `process`, `rebuild` or `stream`; return the exit code.

    Raises:
        PipelineError: a server does not answer or a step fails; the message names the next action.
    """
    try:
        check_folder(settings.reports)
        if arguments.command == "stream":
            with recorded_run(settings.reports, "process", "stream") as record:
                return stream(settings, console, jvm, record)
        schedule = partial(
            process,
            rebuild=arguments.command == "rebuild",
            accept_new_topic=getattr(arguments, "new_topic", False),
            accept_gaps=getattr(arguments, "accept_gaps", False),
        )
        # The metrics are read from the report, which the record completes.
        with (
            observed_run(settings.reports, arguments.command, "process-latest.json"),
            recorded_run(settings.reports, "process", arguments.command) as record,
        ):
            return update(settings, console, jvm, schedule, record, brief=arguments.brief)
    except PySparkException as error:
        raise PipelineError(
            f"Spark gave up: {error}\nRun `make status`, then `make process` again."
        ) from error


def update(
    settings: Settings,
    console: Console,
    jvm: DriverJvm,
    schedule: Callable[[Context], RunReport],
    record: RunRecord,
    *,
    brief: bool,
) -> int:
    """Bring everything up to the topic, or compute all of it again, as the schedule does."""
    segments = read_segments(settings.segments or DEFAULT_SEGMENTS)
    store = S3ObjectStore(S3Config.from_settings(settings))
    with (
        ProgressDisplay(console, "tasks") as progress,
        SparkSession(settings, jvm, progress) as spark,
    ):
        store.ensure_bucket()
        context = Context.open(settings, segments, store, spark)
        report = schedule(context)
    failure = failure_of(report)
    written, unwritten = write_report(report, settings.reports, record, failure)
    logger.debug("run finished", extra={"event": "run_finished", "report": str(written)})
    did_work = report.batches or report.profiles_updated or report.profiles_indexed
    if not (did_work or report.failed_buckets):
        console.print(
            f"Nothing new: {report.customers:,} profiles are up to date ({report.seconds:.1f} s)."
        )
    else:
        print_run(report, console)
        if not brief:
            console.print(summary(report))
        if written:
            console.print(f"Report: {written}", markup=False)
    print_gaps(report.gaps, console)
    print_waiting(report.waiting, console)
    if report.outdated_segments:
        console.print(
            f"{report.outdated_segments:,} customers have the segment of another version "
            f"of the rules than {segments.version}; `make rebuild` gives all of them the new one",
            style="yellow",
        )
    return exit_code(report, failure, unwritten)


def stream(settings: Settings, console: Console, jvm: DriverJvm, record: RunRecord) -> int:
    """Follow the topic until Ctrl-C."""
    segments = read_segments(settings.segments or DEFAULT_SEGMENTS)
    stop = threading.Event()
    following = threading.Event()
    display = _StreamDisplay(console)

    def on_batch(batch: MicroBatch) -> None:
        metrics.observe(batch.to_json())
        display.show(batch)

    # From the start on Ctrl-C ends the stream in order: the backlog may take long.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, partial(_stop_stream, stop))

    def on_ready() -> None:
        following.set()
        logger.info(
            "following raw_events every %g s; Ctrl-C ends it after the batch at hand",
            settings.stream_interval_s,
            extra={"event": "stream_following"},
        )

    with ExitStack() as stack:
        metrics = stack.enter_context(StreamMetrics(settings.reports, settings.metrics_port))
        show = stack.enter_context(ProgressDisplay(console, "tasks"))
        progress = _quiet_after(following, stop, show)
        store = S3ObjectStore(S3Config.from_settings(settings))
        store.ensure_bucket()
        holds_lease = stack.enter_context(
            hold_lease(store, partial(S3ObjectStore, S3Config.from_settings(settings)))
        )
        spark = stack.enter_context(SparkSession(settings, jvm, progress))
        report = follow(
            Context.open(settings, segments, store, spark),
            holds_lease=holds_lease,
            stop=stop,
            on_ready=on_ready,
            on_batch=on_batch,
        )
    failure = failure_of(report)
    _, unwritten = write_report(report, settings.reports, record, failure)
    console.print(
        f"Ended. {report.events_landed:,} events in {report.batches:,} micro-batches; "
        f"{report.customers:,} profiles are up to date. Reports: "
        f"{settings.reports}/stream-latest.json, process-latest.json",
        markup=False,
    )
    print_gaps(report.gaps, console)
    return exit_code(report, failure, unwritten)


class _StreamDisplay:
    """Shows each micro-batch on a terminal, and a line every `LOG_EVERY_S` elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._batches = self._events = 0
        self._last = time.monotonic()

    def show(self, batch: MicroBatch) -> None:
        self._batches += 1
        self._events += batch.events
        if self._console.is_terminal:
            self._console.print(micro_batch_line(batch), markup=False)
        elif time.monotonic() - self._last > LOG_EVERY_S:
            self._last = time.monotonic()
            total = f"{self._events:,} events in {self._batches:,} batches so far"
            self._console.print(f"{micro_batch_line(batch)}; {total}", markup=False)


def _quiet_after(following: threading.Event, stop: threading.Event, show: Progress) -> Progress:
    """Show no progress while the stream follows: a micro-batch is over before anybody reads it."""

    def progress(step: str, done: int, tasks: int) -> None:
        if not following.is_set() or stop.is_set():
            show(step, done, tasks)

    return progress


def _stop_stream(stop: threading.Event, *_: object) -> None:
    if stop.is_set():
        raise KeyboardInterrupt
    stop.set()
    logger.info(
        "ending after this micro-batch, with all profiles written; Ctrl-C again ends it at once",
        extra={"event": "stream_stopping"},
    )
