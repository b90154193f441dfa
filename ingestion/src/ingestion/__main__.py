"""`python -m ingestion FILE`: CSV events into Kafka, exactly once."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from dotenv import dotenv_values
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from ingestion.errors import IngestError
from ingestion.publish import ConfluentPublisher, ensure_topics, read_progress
from ingestion.report import Report
from ingestion.run import Options, Source, find_source, ingest
from ingestion.settings import Settings
from ingestion.sources import check_header

LOG_EVERY_S = 5.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ingestion", description=__doc__)
    parser.add_argument("file", type=Path, help="CSV file with events: .csv, .csv.gz or .csv.zst")
    given = parser.parse_args(arguments)
    environ = {key: value or "" for key, value in {**dotenv_values(".env"), **os.environ}.items()}
    console = Console(highlight=False, soft_wrap=True)
    try:
        return run(given.file, Settings.from_env(environ), console)
    except IngestError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. Whole blocks are in; `make ingest` continues behind them.", file=sys.stderr)
        return 130


def run(path: Path, settings: Settings, console: Console) -> int:
    if path.exists() and not path.is_file():
        raise IngestError(f"{path} is not a file.\nName a CSV file: make ingest FILE=path/to/events.csv")
    check_header(path)
    ensure_topics(settings.bootstrap_servers)
    source, publisher = take_over(path, settings)
    console.print(f"Ingesting {path} as {source.name} into {settings.bootstrap_servers}", markup=False)
    if settings.reingest and source.done:
        console.print(
            f"{source.done.read:,} rows are in since {source.done.updated_at}; sending all again", markup=False
        )
        source = Source(source.name, None)
    if source.done:
        console.print(f"{source.done.read:,} rows are in since {source.done.updated_at}", markup=False)
    elif source.name != path.name:
        console.print(
            f"A file {path.name} with other content came before: this is a new source, {source.name}", markup=False
        )
    plain = path.suffix == ".csv"
    with Progress(
        TextColumn("  {task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("events", total=path.stat().st_size if plain else None)
        last = time.monotonic()

        def on_batch(report: Report, end: int) -> None:
            nonlocal last
            bar.update(task, completed=end, description=f"{report.read:,} rows")
            if not console.is_terminal and time.monotonic() - last > LOG_EVERY_S:
                last = time.monotonic()
                console.print(f"  {report.read:,} rows read, {report.accepted:,} accepted")

        options = Options(settings.max_rejected, settings.keep_duplicates)
        report = ingest(path, source, publisher, on_batch, options)
    written = report.write(settings.reports)
    show(report, console)
    console.print(f"Report: {written}. Next: make process", markup=False)
    if not report.adds_up:
        raise IngestError(
            f"The rows do not add up: {report.read} read, but {report.accepted} accepted, {report.dead_lettered} "
            f"dead-lettered and {report.duplicates} duplicates. This is a defect of the ingestion: please report it."
        )
    return 0


def take_over(path: Path, settings: Settings) -> tuple[Source, ConfluentPublisher]:
    """Find a file's source and fence every other run of it."""
    source = find_source(path, read_progress(settings.bootstrap_servers))
    while True:
        publisher = ConfluentPublisher(settings.bootstrap_servers, source.name)
        # Read again: a run that this one has just fenced may have committed in between, and another
        # file may have taken the name.
        found = find_source(path, read_progress(settings.bootstrap_servers))
        if found.name == source.name:
            return found, publisher
        source = found


def show(report: Report, console: Console) -> None:
    """Print what a run did."""
    if report.already_ingested and not report.read:
        console.print(f"Nothing new: all {report.already_ingested:,} rows were in already; nothing was sent.")
        return
    console.print(
        f"{report.read:,} rows read = {report.accepted:,} accepted + {report.dead_lettered:,} dead-lettered "
        f"+ {report.duplicates:,} duplicates, in {report.seconds:.1f} s ({report.events_per_second:,.0f} rows/s)"
    )
    for reason, count in report.reasons.items():
        console.print(f"  {count:>9,}  {reason}")


if __name__ == "__main__":
    sys.exit(main())
