"""Workflows of the commands that send a file: setup, ingest and simulate.

Each gathers its inputs, does the work, writes the report and prints the result.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, cast

from customer_profiles.common.errors import PipelineError
from customer_profiles.common.progress import ProgressDisplay
from customer_profiles.common.reports import ReportError, check_folder
from customer_profiles.common.run_record import RunRecord, Status, recorded_run
from customer_profiles.ingestion import render
from customer_profiles.ingestion.header import check_header
from customer_profiles.ingestion.inputs import CsvInput, FileInput, StreamInput
from customer_profiles.ingestion.options import Options
from customer_profiles.ingestion.pipeline import ingest
from customer_profiles.ingestion.report import IngestReport
from customer_profiles.ingestion.settings import Settings
from customer_profiles.ingestion.simulate import SOURCE, SimulationProgress, simulate
from customer_profiles.ingestion.sources import acquire_source
from customer_profiles.kafka.admin import ensure_topics
from customer_profiles.kafka.producer import create_publisher

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)

LOG_EVERY_S = 5.0
"""Seconds between two lines of progress where there is no terminal."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a simulation sends events, and for how long."""

    speed: float
    """Factor on the file's own pace."""
    rate: float | None
    """Events per second, in place of `speed`."""
    seconds: float | None
    """The longest duration; None for the whole file."""

    def __str__(self) -> str:
        if self.rate:
            return f"{self.rate:g} events a second"
        return f"{self.speed:g} times as fast as they happened"


def run_setup(settings: Settings, console: Console) -> int:
    """Create the topics that are missing."""
    ensure_topics(settings.kafka)
    render.print_topics_ready(console)
    return 0


def run_ingest(file: str, settings: Settings, console: Console) -> int:
    """Ingest a file, or standard input if `file` is `-`, and write `ingest-latest.json`."""
    check_folder(settings.reports)
    with recorded_run(settings.reports, "ingest") as record:
        record.content = lambda: {"file": file}
        return _ingest(file, settings, console, record)


def _ingest(file: str, settings: Settings, console: Console, record: RunRecord) -> int:
    csv_input = _open_input(file, settings.strict)
    check_header(csv_input, settings.strict)
    ensure_topics(settings.kafka)
    source, publisher = acquire_source(
        csv_input, settings.kafka, settings.kafka_client, _log_open_transaction
    )
    render.print_source(
        csv_input, source, settings.kafka_bootstrap_servers, settings.reingest, console
    )
    if settings.reingest:
        source = replace(source, progress=None)
    options = Options(
        settings.max_rejected_share,
        settings.keep_duplicates,
        settings.block_bytes,
        settings.strict,
    )
    with ProgressDisplay(console, "bytes", log_every_s=LOG_EVERY_S) as display:

        def on_batch(report: IngestReport, end: int) -> None:
            record.content = partial(asdict, report)
            display(
                "ingest",
                completed=end,
                total=csv_input.size,
                description=f"{report.read:,} rows",
                log_line=f"{report.read:,} rows read, {report.accepted:,} accepted",
            )

        report = ingest(csv_input, source, publisher, on_batch, options)
    record.content = partial(asdict, report)
    if not report.adds_up:
        render.print_ingest_report(report, None, console)
        raise PipelineError(
            f"The rows do not add up: {report.read} read, but {report.accepted} accepted, "
            f"{report.dead_lettered} dead-lettered and {report.duplicates} duplicates. "
            "This is a defect of the ingestion: please report it."
        )
    try:
        path = record.finish(Status.OK)
    except ReportError as error:
        # The check of the folder is long ago: its disk may be full by now.
        render.print_ingest_report(report, None, console)
        raise PipelineError(f"All rows are sent. {error}") from error
    render.print_ingest_report(report, path, console)
    return 0


def _open_input(file: str, strict: bool) -> CsvInput:
    if file == "-":
        return StreamInput(cast("BufferedReader", sys.stdin.buffer), strict)
    return FileInput(Path(file), strict)


def _log_open_transaction() -> None:
    logger.info(
        "Another run has a transaction open, or died in one: "
        "waiting for its end, a minute at the most",
        extra={"event": "open_transaction"},
    )


def run_simulate(path: Path, pace: Pace, settings: Settings, console: Console) -> int:
    """Send a file's events as if they happened now, until its end, `pace.seconds` or Ctrl-C."""
    csv_input = FileInput(path, settings.strict)
    check_header(csv_input, settings.strict)
    ensure_topics(settings.kafka)
    stop = threading.Event()
    # Ctrl-C ends the simulation after the current transaction, which takes a fifth of a second.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    publisher = create_publisher(settings.kafka_client, settings.kafka, SOURCE)
    render.print_simulation_start(csv_input, settings.kafka_bootstrap_servers, str(pace), console)
    started = time.monotonic()
    with ProgressDisplay(console, "events", log_every_s=LOG_EVERY_S) as display:

        def on_tick(progress: SimulationProgress) -> None:
            if pace.seconds and time.monotonic() - started >= pace.seconds:
                stop.set()
            late = f", {progress.behind_s:.1f} s late" if progress.behind_s > 1 else ""
            display(
                "simulate",
                progress.sent,
                None,
                description=f"sending{late}",
                log_line=f"{progress.sent:,} events sent{late}",
            )

        try:
            progress = simulate(
                csv_input,
                publisher,
                on_tick,
                stop,
                speed=pace.speed,
                rate=pace.rate,
                strict=settings.strict,
            )
        finally:
            publisher.close()
    render.print_simulation_end(progress, time.monotonic() - started, console)
    return 0
