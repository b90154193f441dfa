"""`python -m processing`: the topic into profiles, or one customer's profile."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from decimal import Decimal

from dotenv import dotenv_values
from pyspark.errors import PySparkException
from rich.console import Console
from rich.table import Table

from processing.errors import ProcessError
from processing.index import Index
from processing.lake import Lake
from processing.report import Report
from processing.run import STATE, process
from processing.segments import read_segments
from processing.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m processing", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    everything = commands.add_parser("process", help="land what is new, update profiles and index, print a summary")
    everything.add_argument("--brief", action="store_true", help="leave the summary out")
    commands.add_parser("summary", help="print what all profiles add up to, and where to look next")
    profile = commands.add_parser("profile", help="print one customer's profile")
    profile.add_argument("user_id")
    given = parser.parse_args(arguments)
    environ = {key: value or "" for key, value in {**dotenv_values(".env"), **os.environ}.items()}
    console = Console(highlight=False, soft_wrap=True)
    try:
        settings = Settings.from_env(environ)
        if given.command == "profile":
            return show_profile(settings, given.user_id)
        if given.command == "summary":
            return show_summary(settings, console)
        return run(settings, console, given.brief)
    except ProcessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except PySparkException as error:
        print(f"error: Spark gave up: {error}\nRun `make status`, then `make process` again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. `make process` goes on from here.", file=sys.stderr)
        return 130


def run(settings: Settings, console: Console, brief: bool) -> int:
    report = process(settings, read_segments(), lambda line: console.print(f"  {line}", markup=False))
    if not report.batches and not report.profiles_updated and not report.profiles_indexed:
        console.print(f"Nothing new: {report.customers:,} profiles are up to date ({report.seconds:.1f} s).")
        report.write(settings.reports)
        return 0
    show(report, console)
    if not brief:
        console.print(summary(report))
    console.print(f"Report: {report.write(settings.reports)}", markup=False)
    return 0


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
    report.add_totals((Lake(settings).get_json(STATE) or {"buckets": {}})["buckets"].values())
    console.print(summary(report))
    best = Index(settings).best(3)
    url = settings.elasticsearch_url
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
        ("by curl", f"curl '{url}/customer_profiles/_search?q=customer_segment:%22High+Value%22&pretty'"),
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


def show_profile(settings: Settings, user_id: str) -> int:
    index = Index(settings)
    index.ensure()
    found: Mapping[str, object] | None = index.find(user_id)
    if found is None:
        raise ProcessError(
            f"There is no profile of a customer {user_id}.\nIs the id right, and has `make process` run?"
        )
    print(json.dumps(found, indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
