"""`python -m ingestion`: CSV events into Kafka, exactly once; what was rejected, shown and mended."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import cast

from dotenv import dotenv_values
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from contracts import RAW_EVENTS
from ingestion.clients import publisher_of
from ingestion.errors import IngestError
from ingestion.letters import Overview, Selection, export, overview, read_letters, read_mended
from ingestion.live import SOURCE as LIVE
from ingestion.live import Played, play
from ingestion.publish import Publisher
from ingestion.replay import SOURCE as REPLAYS
from ingestion.replay import apply, finish, identities, mark_duplicates, plan_mended, plan_selection
from ingestion.report import Report
from ingestion.run import Options, Source, find_source, ingest
from ingestion.settings import Settings
from ingestion.sources import FileInput, Input, StreamInput, check_header
from ingestion.topics import ensure_topics, read_all, read_progress

LOG_EVERY_S = 5.0
WAITING = "Another run has a transaction open, or died in one: waiting for its end, a minute at the most"


def main(arguments: list[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    environ = {key: value or "" for key, value in {**dotenv_values(".env"), **os.environ}.items()}
    console = Console(highlight=False, soft_wrap=True)
    try:
        settings = Settings.from_env(environ)
        match given.command:
            case "ingest":
                return run(given.file, settings, console)
            case "setup":
                ensure_topics(settings.bootstrap_servers)
                console.print("The topics are there")
                return 0
            case "replay-live":
                return play_live(given, settings, console)
            case "dead-letters":
                return show_letters(_selection(given), given.export, settings, console)
            case _:
                return replay(_selection(given), given.mended, given.apply, settings, console)
    except IngestError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. Whole blocks are in; the same command continues behind them.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ingestion", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    ingesting = commands.add_parser("ingest", help="CSV events into Kafka, exactly once")
    ingesting.add_argument("file", help="CSV file with events, plain or as .gz or .zst; - reads standard input")
    commands.add_parser("setup", help="make the topics that are missing")
    playing = commands.add_parser("replay-live", help="play a file's events into the topic as if they happened now")
    playing.add_argument("file", help="CSV file with events, in the order of their times")
    playing.add_argument("--speed", type=_positive, default=1.0, help="times as fast as they happened (default: 1)")
    playing.add_argument("--rate", type=_positive, help="so many events per second instead, evenly")
    playing.add_argument("--seconds", type=_positive, help="end after so long, instead of with the file")
    showing = commands.add_parser("dead-letters", help="rejected rows by reason, source and day, with examples")
    showing.add_argument("--export", type=Path, metavar="CSV", help="also write the open ones, to be mended")
    replaying = commands.add_parser("replay", help="send mended rows again; says what it would do unless --apply")
    replaying.add_argument("--mended", type=Path, metavar="CSV", help="an export whose values were mended")
    replaying.add_argument("--apply", action="store_true", help="do it")
    for command in (showing, replaying):
        command.add_argument("--reason", help="only letters with this reason")
        command.add_argument("--source", help="only letters of this source")
        command.add_argument("--since", metavar="TIME", help="only letters since then: ISO 8601, UTC without an offset")
    return parser


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def _selection(given: argparse.Namespace) -> Selection:
    since = None
    if given.since:
        try:
            since = datetime.fromisoformat(given.since)
        except ValueError as error:
            raise IngestError(
                f"SINCE={given.since} is no time.\nWrite it as 2026-11-23 or 2026-11-23T12:00."
            ) from error
        since = since if since.tzinfo else since.replace(tzinfo=UTC)
    return Selection(given.reason or None, given.source or None, since)


def run(file: str, settings: Settings, console: Console) -> int:
    given: Input = StreamInput(cast("BufferedReader", sys.stdin.buffer)) if file == "-" else FileInput(Path(file))
    check_header(given)
    ensure_topics(settings.bootstrap_servers)
    source, publisher = take_over(given, settings, lambda: console.print(WAITING))
    console.print(f"Ingesting {given.label} as {source.name} into {settings.bootstrap_servers}", markup=False)
    if settings.reingest and source.done:
        console.print(
            f"{source.done.read:,} rows are in since {source.done.updated_at}; sending all again", markup=False
        )
        source = Source(source.name, None)
    if source.done:
        console.print(f"{source.done.read:,} rows are in since {source.done.updated_at}", markup=False)
    elif source.name != given.name:
        console.print(f"{given.name} came before with other content: this is a new source, {source.name}", markup=False)
    with Progress(
        TextColumn("  {task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("events", total=given.size)
        last = time.monotonic()

        def on_batch(report: Report, end: int) -> None:
            nonlocal last
            bar.update(task, completed=end, description=f"{report.read:,} rows")
            if not console.is_terminal and time.monotonic() - last > LOG_EVERY_S:
                last = time.monotonic()
                console.print(f"  {report.read:,} rows read, {report.accepted:,} accepted")

        options = Options(settings.max_rejected, settings.keep_duplicates, settings.block_bytes)
        report = ingest(given, source, publisher, on_batch, options)
    written = report.write(settings.reports)
    show(report, console)
    console.print(f"Report: {written}. Next: make process", markup=False)
    if not report.adds_up:
        raise IngestError(
            f"The rows do not add up: {report.read} read, but {report.accepted} accepted, {report.dead_lettered} "
            f"dead-lettered and {report.duplicates} duplicates. This is a defect of the ingestion: please report it."
        )
    return 0


def play_live(given: argparse.Namespace, settings: Settings, console: Console) -> int:
    source = FileInput(Path(given.file))
    check_header(source)
    ensure_topics(settings.bootstrap_servers)
    stop = threading.Event()
    # Ctrl-C ends it after the transaction at hand, a fifth of a second.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    publisher = publisher_of(settings.client, settings.bootstrap_servers, LIVE)
    pace = f"{given.rate:g} events a second" if given.rate else f"{given.speed:g} times as fast as they happened"
    console.print(f"Playing {source.label} into {settings.bootstrap_servers}, {pace}; Ctrl-C ends it", markup=False)
    began = last = time.monotonic()
    # No bar: what counts is the pace. On a terminal the line is written over itself.
    with console.status("") if console.is_terminal else nullcontext() as line:

        def on_tick(played: Played) -> None:
            nonlocal last
            now = time.monotonic()
            if given.seconds and now - began >= given.seconds:
                stop.set()
            said = f"{played.sent:,} events sent" + (f", {played.behind_s:.1f} s late" if played.behind_s > 1 else "")
            if line:
                line.update(said)
            elif now - last > LOG_EVERY_S:
                last = now
                console.print(f"  {said}")

        try:
            played = play(source, publisher, on_tick, stop, speed=given.speed, rate=given.rate)
        finally:
            publisher.close()
    console.print(f"{played.sent:,} events sent in {time.monotonic() - began:.1f} s")
    if played.rejected:
        console.print(f"[yellow]{played.rejected:,} rows do not keep the contract and were left out[/]")
    return 0


def take_over(given: Input, settings: Settings, on_wait: Callable[[], None]) -> tuple[Source, Publisher]:
    """Find a file's source and fence every other run of it."""
    source = find_source(given, read_progress(settings.bootstrap_servers))
    while True:
        publisher = publisher_of(settings.client, settings.bootstrap_servers, source.name)
        # Read again: a run that this one has just fenced may have committed in between, another file
        # may have taken the name, and open transactions of others may have hidden what is in.
        found = find_source(given, read_progress(settings.bootstrap_servers, settled=True, on_wait=on_wait))
        if found.name == source.name:
            return found, publisher
        publisher.close()
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
    if report.completed_line:
        console.print(
            f"  Row {report.completed_line:,} was cut at the end of the source when it came before; now it is whole"
        )
    for reason, count in report.reasons.items():
        console.print(f"  {count:>9,}  {reason}")


def show_letters(selection: Selection, to: Path | None, settings: Settings, console: Console) -> int:
    """Print what was rejected; with a file, also write the open letters to it."""
    ensure_topics(settings.bootstrap_servers)
    letters = [letter for letter in read_letters(settings.bootstrap_servers) if selection.fits(letter)]
    if not letters:
        console.print("No dead letters." if selection == Selection() else "No dead letters fit this selection.")
    else:
        print_overview(overview(letters), console)
    if to:
        waiting = [letter for letter in letters if not letter.replayed]
        export(waiting, to)
        console.print(
            f"{len(waiting):,} open letters: {to}. Mend their values, then: make replay MENDED={to}", markup=False
        )
    return 0


def print_overview(found: Overview, console: Console) -> None:
    console.print(f"{found.open:,} open dead letters; {found.replayed:,} more were mended and sent again")
    for title, counts in (("Reason", found.by_reason), ("Source", found.by_source), ("Day", found.by_day)):
        console.print(f"\n{title}", style="bold")
        ordered = counts.most_common() if title != "Day" else sorted(counts.items())
        for name, count in ordered:
            console.print(f"  {count:>9,}  {name}", markup=False)
            if title == "Reason":
                letter = found.examples[name].content
                detail = f" ({letter.detail})" if letter.detail else ""
                console.print(
                    f"             {letter.source} row {letter.source_row:,}{detail}:", markup=False, style="dim"
                )
                console.print(f"             {letter.text[:160]}", markup=False, style="dim")


def replay(selection: Selection, mended_file: Path | None, applied: bool, settings: Settings, console: Console) -> int:
    """Check letters again and say what would be sent, or send it."""
    if mended_file and selection != Selection():
        raise IngestError("A mended file names its letters itself: leave out REASON, SOURCE and SINCE.")
    if not mended_file and selection == Selection():
        raise IngestError(
            "Say which dead letters: an export that you mended, MENDED=letters.csv,\n"
            "or all of a reason, after a rule has changed: REASON=…. `make dead-letters` shows them."
        )
    rows = read_mended(mended_file) if mended_file else []
    began = time.perf_counter()
    servers = settings.bootstrap_servers
    ensure_topics(servers)
    # Taken over before anything is read: another replay cannot send the same letters in between.
    publisher = publisher_of(settings.client, servers, REPLAYS) if applied else None
    letters = read_letters(servers, settled=applied)
    plan = plan_mended(letters, rows) if mended_file else plan_selection(letters, selection)
    present = (message.value() for message in read_all(servers, RAW_EVENTS, settled=applied)) if plan.mended else ()
    marked = mark_duplicates(plan.mended, identities(present))
    if publisher:
        apply(marked, publisher)
    report = finish(plan, marked, applied, began)
    written = report.write(settings.reports)
    were = "sent" if applied else "would be sent"
    console.print(
        f"{report.selected:,} dead letters = {report.sent:,} {were} + {report.duplicates:,} in already "
        f"+ {report.still_rejected:,} still rejected + {report.already_replayed:,} replayed before "
        f"+ {report.unknown:,} unknown"
    )
    for reason, number in report.reasons.items():
        console.print(f"  {number:>9,}  {reason}", markup=False)
    if not report.adds_up:
        raise IngestError("The letters do not add up. This is a defect of the replay: please report it.")
    if applied:
        console.print(f"Report: {written}. Next: make process", markup=False)
    elif marked:
        console.print("Nothing was sent yet. To send them: the same command with APPLY=1", markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
