"""What `python -m processing` does, and what it prints."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from functools import partial

import polars as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from contracts import bucket_of
from processing.charts import Charts
from processing.errors import ProcessError
from processing.index import READER, Index, documents
from processing.lake import Lake
from processing.plan import Plans
from processing.profiles import PROFILE_SCHEMA
from processing.report import Report
from processing.run import STATE, process
from processing.segments import read_segments
from processing.session import Java
from processing.settings import Settings
from processing.stream import MicroBatch, follow
from processing.tasks import read_profiles

LOG_EVERY_S = 10.0
"""Between two lines of progress where there is no terminal for a bar."""


def run(given: argparse.Namespace, settings: Settings, java: Java | None) -> int:
    """Do what the command line asks for; the exit status.

    Args:
        given: `command` and its options.
        settings: where the servers are.
        java: the Java process of Spark's driver, for the commands that use Spark.

    Raises:
        ProcessError: a server does not answer, or a step fails; says what to do next.
    """
    console = Console(highlight=False, soft_wrap=True)
    if given.command == "profile":
        return show_profile(settings, given.user_id, given.origin)
    if java is None:
        others = {"summary": show_summary, "setup": set_up, "restore-index": restore_index}
        return others[given.command](settings, console)
    if given.command == "stream":
        return stream(settings, console, java)
    return update(settings, console, java, given.brief, rebuild=given.command == "rebuild")


def set_up(settings: Settings, console: Console) -> int:
    """Make what a new stack lacks; a second time nothing changes."""
    Lake(settings).ensure()
    index = Index(settings)
    index.ensure()
    Charts(Lake(settings), index, settings.bootstrap_servers).ensure()
    made = index.set_accounts(settings)
    console.print(f"The lake and the index are there{', and the accounts ' + ', '.join(made) if made else ''}")
    return 0


def restore_index(settings: Settings, console: Console) -> int:
    """Show readers the index again that they saw before the last rebuild."""
    before, now = Index(settings).restore()
    console.print(
        f"Readers of customer_profiles see {now.name} again, and {before.name} no more.\n"
        "Next: make process, which brings it up to date. The same command goes back."
    )
    return 0


def update(settings: Settings, console: Console, java: Java, brief: bool, rebuild: bool) -> int:
    """Bring everything up to the topic, or compute all of it anew."""
    segments = read_segments(settings.segments)
    with _progress(console) as progress:
        report = process(settings, segments, java, partial(_say, console), progress, rebuild=rebuild)
    written = report.write(settings.reports)
    if not report.batches and not report.profiles_updated and not report.profiles_indexed:
        console.print(f"Nothing new: {report.customers:,} profiles are up to date ({report.seconds:.1f} s).")
    else:
        show(report, console)
        if not brief:
            console.print(summary(report))
        console.print(f"Report: {written}", markup=False)
    if report.outdated_segments:
        console.print(
            f"[yellow]{report.outdated_segments:,} customers have the segment of another version of the rules than "
            f"{segments.version}; `make rebuild` gives all of them the new one[/]"
        )
    if report.index_error:
        raise ProcessError(report.index_error)
    return 0


def stream(settings: Settings, console: Console, java: Java) -> int:
    """Follow the topic until Ctrl-C."""
    stop = threading.Event()

    def end(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        _say(console, "ending after this micro-batch, with all profiles written; Ctrl-C again ends it at once")

    def ready(line: str) -> None:
        # Spark's start has its own way with signals; from here on the stream has.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        _say(console, line)

    totals = {"batches": 0, "events": 0, "customers": 0}
    last = time.monotonic()

    def tell(done: MicroBatch) -> None:
        nonlocal last
        totals["batches"] += 1
        totals["events"] += done.events
        totals["customers"] += done.customers
        if done.error:
            console.print(f"[yellow]  index behind: {done.error.splitlines()[0]}[/]")
        # Every batch where somebody watches; in a log, now and then what they add up to.
        if console.is_terminal:
            console.print(_line(done), markup=False)
        elif time.monotonic() - last > LOG_EVERY_S:
            last = time.monotonic()
            console.print(f"{_line(done)}; {totals['events']:,} events in {totals['batches']:,} batches so far")

    with _progress(console) as progress:
        report = follow(settings, read_segments(settings.segments), java, ready, progress, tell, stop)
    report.write(settings.reports)
    console.print(
        f"Ended. {report.events_landed:,} events in {report.batches:,} micro-batches; {report.customers:,} profiles "
        f"are up to date. Reports: {settings.reports}/stream-latest.json, process-latest.json",
        markup=False,
    )
    if report.index_error:
        raise ProcessError(report.index_error)
    return 0


def _line(done: MicroBatch) -> str:
    lag = "" if done.lag_seconds is None else f", seen after {done.lag_seconds:.1f} s"
    misfits = f", {done.misfits:,} misfits" if done.misfits else ""
    return (
        f"  {done.at[11:19]}  batch {done.batch}: {done.events:,} events, {done.customers:,} customers{misfits} "
        f"in {done.seconds:.1f} s{lag}, {done.lag_events:,} waiting"
    )


def _say(console: Console, line: str) -> None:
    console.print(f"  {line}", markup=False)


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each step on a terminal, a line now and then elsewhere."""
    with Progress(
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("tasks"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        shown: dict[str, TaskID] = {}
        last = time.monotonic()

        def progress(what: str, done: int, count: int) -> None:
            nonlocal last
            if not console.is_terminal and time.monotonic() - last > LOG_EVERY_S:
                last = time.monotonic()
                console.print(f"  {what}: {done} of {count} tasks")
            if what not in shown:
                for task in shown.values():
                    bar.remove_task(task)
                shown.clear()
                shown[what] = bar.add_task(what, total=count)
            bar.update(shown[what], completed=done)

        yield progress


def show(report: Report, console: Console) -> None:
    """Print what a run did."""
    console.print(
        f"{report.events_landed:,} events landed, {report.profiles_updated:,} profiles updated, "
        f"{report.profiles_indexed:,} indexed, in {report.seconds:.1f} s ({report.events_per_second:,.0f} events/s)"
    )
    if report.misfits:
        console.print(
            f"[yellow]{report.misfits:,} messages do not keep the contract; they are in raw_events_dead_letter[/]"
        )


def show_summary(settings: Settings, console: Console) -> int:
    """Print all profiles at a glance, the best customers and where to look next."""
    report = Report()
    state = Lake(settings).get_json(STATE) or {"buckets": {}}
    report.add_totals(state["buckets"].values(), read_segments(settings.segments).version)
    console.print(summary(report))
    best = Index(settings).best(3)
    url = settings.elasticsearch_shown_url or settings.elasticsearch_url
    # The password stays in .env: nobody wants it on the screen.
    user = (
        f'--user "{READER}:$(sed -n s/^ELASTIC_READER_PASSWORD=//p .env)" ' if settings.elasticsearch_shown_url else ""
    )
    if best:
        console.print("\n[bold]Best customers[/]")
        for profile in best:
            console.print(
                f"  {profile['user_id']}  {profile['total_revenue']:>12,.2f} ({profile['total_purchases']} bought), "
                f"mostly {profile['favorite_brand'] or 'no brand'}"
            )
    console.print("\n[bold]Where to look next[/]")
    for what, where in (
        ("one profile", f"make profile ID={best[0]['user_id'] if best else '…'}"),
        ("by curl", f"curl {user}'{url}/customer_profiles/_search?q=customer_segment:%22High+Value%22&pretty'"),
        ("dashboards", "make dashboard"),
        ("what runs", "make status"),
    ):
        console.print(f"  {what:<12} {where}", markup=False)
    return 0


def summary(report: Report) -> Table:
    """All profiles at a glance."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right", style="dim")
    table.add_column(style="cyan", no_wrap=True)

    def shares(parts: Mapping[str, int], whole: int) -> None:
        for name, count in parts.items():
            if count:
                share = count / whole
                table.add_row(f"  {name}", f"{count:,}", f"{100 * share:.1f} %", "█" * max(1, round(30 * share)))

    table.add_row()
    table.add_row("[bold]Events[/]", f"[bold]{report.events:,}[/]")
    shares(report.event_types, report.events)
    table.add_row("[bold]Customers[/]", f"[bold]{report.customers:,}[/]")
    shares(report.segments, report.customers)
    table.add_row("[bold]Revenue[/]", f"[bold]{Decimal(report.revenue):,}[/]")
    table.add_row("  average per customer", f"{Decimal(report.average_customer_value):,}")
    return table


def show_profile(settings: Settings, user_id: str, origin: str) -> int:
    """Print one profile from the index or the lake; a difference between the two is told."""
    ways: dict[str, Callable[[], Mapping[str, object] | None]] = {
        "index": partial(Index(settings).find, user_id),
        "lake": partial(find_profile, Lake(settings), user_id),
    }
    (other,) = set(ways) - {origin}
    found = ways[origin]()
    try:
        compared = ways[other]()
    except ProcessError as error:
        print(f"warning: not compared with the {other}: {error}", file=sys.stderr)
    else:
        different = [name for name in PROFILE_SCHEMA if (found or {}).get(name, ...) != (compared or {}).get(name, ...)]
        if different:
            what = ", ".join(different) if found and compared else f"it is only in the {origin if found else other}"
            print(
                f"warning: index and lake differ: {what}.\n"
                "`make process` brings the index up to the lake; one that was restored, `make rebuild`.",
                file=sys.stderr,
            )
    if found is None:
        raise ProcessError(
            f"There is no profile of a customer {user_id} in the {origin}.\n"
            "Is the id right, and has `make process` run?"
        )
    print(json.dumps(found, indent=2, ensure_ascii=False))
    return 0


def find_profile(lake: Lake, user_id: str) -> dict[str, object] | None:
    """One customer's profile from the lake, with the values that a document of the index has."""
    buckets = Plans(lake).buckets()
    if buckets is None:
        return None
    profiles, _, _ = read_profiles(lake, bucket_of(user_id, buckets))
    texts = documents(profiles.filter(pl.col("user_id") == user_id))["document"].to_list()
    return json.loads(texts[0]) if texts else None
