"""What the commands print."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from customer_profiles.common.console import printable
from customer_profiles.ingestion.remedies import remedy_of

if TYPE_CHECKING:
    from rich.console import Console

    from customer_profiles.ingestion.dead_letters import Overview
    from customer_profiles.ingestion.inputs import CsvInput
    from customer_profiles.ingestion.report import IngestReport, RedriveReport
    from customer_profiles.ingestion.simulate import SimulationProgress
    from customer_profiles.ingestion.sources import Source

NOT_UTF8 = "not_utf8"
EXAMPLE_LENGTH = 160
"""Characters of a rejected line that are printed."""


def print_topics_ready(console: Console) -> None:
    """Print that all topics exist."""
    _print(console, "The topics are there")


def print_source(
    csv_input: CsvInput, source: Source, bootstrap_servers: str, reingest: bool, console: Console
) -> None:
    """Print which source a run ingests, and what of it is in the topics already."""
    name = printable(source.name)
    _print(console, f"Ingesting {csv_input.label} as {name} into {bootstrap_servers}")
    progress = source.progress
    if progress:
        again = "; sending all of them again" if reingest else ""
        _print(
            console, f"{progress.read:,} rows are in since {printable(progress.updated_at)}{again}"
        )
    elif source.lost:
        _print(
            console,
            f"{source.lost.read:,} rows were sent before, and their events are not all in "
            "raw_events any more; sending all of them again",
        )
    elif source.name != csv_input.name:
        _print(
            console,
            f"{csv_input.name} was ingested before with other content: "
            f"this is a new source, {name}",
        )


def print_ingest_report(report: IngestReport, path: Path | None, console: Console) -> None:
    """Print the counts of an ingestion and where its report is, if it could be written."""
    if report.already_ingested and not report.read:
        _print(
            console,
            f"Nothing new: all {report.already_ingested:,} rows were in already; nothing was sent.",
        )
    else:
        _print(
            console,
            f"{report.read:,} rows read = {report.accepted:,} accepted "
            f"+ {report.dead_lettered:,} dead-lettered + {report.duplicates:,} duplicates, "
            f"in {report.seconds:.1f} s ({report.events_per_second:,.0f} rows/s)",
        )
        if report.completed_line:
            _print(
                console,
                f"  Row {report.completed_line:,} was cut at the end of the source at the last "
                "run; now it is whole",
            )
        _print_counts(report.reasons, console)
        if NOT_UTF8 in report.reasons:
            _print(console, f"  {remedy_of(NOT_UTF8).rstrip()}")
        if report.normalised:
            _print(console, "Read as they were meant; STRICT=1 rejects them:")
            _print_counts(report.normalised, console)
    place = f"Report: {path}. " if path else ""
    _print(console, f"{place}Next: make process")


def print_simulation_start(
    csv_input: CsvInput, bootstrap_servers: str, pace: str, console: Console
) -> None:
    """Print what a simulation sends and how fast."""
    _print(console, f"Playing {csv_input.label} into {bootstrap_servers}, {pace}; Ctrl-C ends it")


def print_simulation_end(progress: SimulationProgress, seconds: float, console: Console) -> None:
    """Print how many events a simulation sent."""
    _print(console, f"{progress.sent:,} events sent in {seconds:.1f} s")
    if progress.rejected:
        text = f"{progress.rejected:,} rows do not keep the contract and were left out"
        _print(console, text, style="yellow")


def print_overview(overview: Overview, console: Console) -> None:
    """Print dead letters by reason, with an example each, and by source and day."""
    _print(
        console,
        f"{overview.open:,} open dead letters; "
        f"{overview.replayed:,} more were mended and sent again",
    )
    _print(console, "\nReason", style="bold")
    for reason, count in overview.by_reason.most_common():
        _print(console, f"  {count:>9,}  {printable(reason, EXAMPLE_LENGTH)}")
        letter = overview.examples[reason].content
        detail = f" ({printable(letter.detail, EXAMPLE_LENGTH)})" if letter.detail else ""
        source = printable(letter.source, EXAMPLE_LENGTH)
        place = f"{source} row {letter.source_row:,}{detail}:"
        _print(console, f"             {place}", style="dim")
        _print(console, f"             {printable(letter.text, EXAMPLE_LENGTH)}", style="dim")
    _print(console, "\nSource", style="bold")
    _print_counts(dict(overview.by_source.most_common()), console)
    _print(console, "\nDay", style="bold")
    _print_counts(dict(sorted(overview.by_day.items())), console)


def print_no_dead_letters(is_selection: bool, console: Console) -> None:
    """Print that there is nothing to list."""
    text = "No dead letters match this selection." if is_selection else "No dead letters."
    _print(console, text)


def print_export(count: int, path: Path, console: Console) -> None:
    """Print where the export is and what to do with it."""
    _print(
        console,
        f"{count:,} open dead letters: {path}. "
        f"Correct their values, then: make redrive CORRECTED={path}",
    )


def print_redrive_report(report: RedriveReport, console: Console) -> None:
    """Print the counts of a redrive."""
    sent = "sent" if report.applied else "would be sent"
    _print(
        console,
        f"{report.selected:,} dead letters = {report.sent:,} {sent} "
        f"+ {report.duplicates:,} in already + {report.still_rejected:,} still rejected "
        f"+ {report.already_replayed:,} replayed before + {report.unknown:,} unknown",
    )
    _print_counts(report.reasons, console)


def print_next_step(report: RedriveReport, path: Path, console: Console) -> None:
    """Print what to do after a redrive."""
    if report.applied:
        _print(console, f"Report: {path}. Next: make process")
    elif report.sent or report.duplicates:
        _print(console, "Nothing was sent yet. To send them: the same command with APPLY=1")


def _print_counts(counts: Mapping[str, int], console: Console) -> None:
    for name, count in counts.items():
        _print(console, f"  {count:>9,}  {printable(name, EXAMPLE_LENGTH)}")


def _print(console: Console, text: str, style: str | None = None) -> None:
    # Names of files and sources may contain brackets, which are not Rich's markup.
    console.print(text, markup=False, style=style)
