"""`python -m processing`: the topic into profiles, or one customer's profile."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping

from dotenv import dotenv_values
from pyspark.errors import PySparkException
from rich.console import Console
from rich.table import Table

from processing.errors import ProcessError
from processing.index import Index
from processing.report import Report
from processing.run import process
from processing.segments import read_segments
from processing.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m processing", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("process", help="land what is new, update profiles and index, print a summary")
    profile = commands.add_parser("profile", help="print one customer's profile")
    profile.add_argument("user_id")
    given = parser.parse_args(arguments)
    environ = {key: value or "" for key, value in {**dotenv_values(".env"), **os.environ}.items()}
    console = Console(highlight=False, soft_wrap=True)
    try:
        settings = Settings.from_env(environ)
        if given.command == "profile":
            return show_profile(settings, given.user_id)
        return run(settings, console)
    except ProcessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except PySparkException as error:
        print(f"error: Spark gave up: {error}\nRun `make status`, then `make process` again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. `make process` goes on from here.", file=sys.stderr)
        return 130


def run(settings: Settings, console: Console) -> int:
    report = process(settings, read_segments(), lambda line: console.print(f"  {line}", markup=False))
    if not report.batches and not report.profiles_updated and not report.profiles_indexed:
        console.print(f"Nothing new: {report.customers:,} profiles are up to date ({report.seconds:.1f} s).")
        report.write(settings.reports)
        return 0
    show(report, console)
    console.print(f"Report: {report.write(settings.reports)}", markup=False)
    return 0


def show(report: Report, console: Console) -> None:
    """Print what a run did and what all profiles add up to."""
    console.print(
        f"{report.events_landed:,} events landed in {report.seconds:.1f} s ({report.events_per_second:,.0f} events/s), "
        f"{report.profiles_updated:,} profiles updated"
    )
    if report.misfits:
        console.print(f"[yellow]{report.misfits:,} messages do not keep the contract; they are in raw_events_dead_letter[/]")
    console.print()
    console.print(summary(report))


def summary(report: Report) -> Table:
    """All profiles at a glance."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right", style="dim")
    table.add_row("[bold]Customers[/]", f"[bold]{report.customers:,}[/]")
    table.add_row("Events", f"{report.events:,}")
    for kind, count in report.event_types.items():
        if count:
            table.add_row(f"  {kind}", f"{count:,}", _share(count, report.events))
    table.add_row("Revenue", f"{float(report.revenue):,.2f}")
    table.add_row("Average customer value", f"{float(report.average_customer_value):,.2f}")
    table.add_row("[bold]Segments[/]")
    for name, count in report.segments.items():
        table.add_row(f"  {name}", f"{count:,}", _share(count, report.customers))
    return table


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""


def show_profile(settings: Settings, user_id: str) -> int:
    index = Index(settings)
    index.ensure()
    found: Mapping[str, object] | None = index.find(user_id)
    if found is None:
        raise ProcessError(f"There is no profile of a customer {user_id}.\nIs the id right, and has `make process` run?")
    print(json.dumps(found, indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
