"""What the commands print for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from customer_profiles.common.console import printable
from customer_profiles.lake.gaps import REDRIVEN, Gap, describe_offsets
from customer_profiles.processing.report import MicroBatch, RunReport

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

BAR_WIDTH = 30
"""Characters of a bar for 100 %."""
BRAND_LENGTH = 100
"""Characters of a brand that are printed."""


def print_run(report: RunReport, console: Console) -> None:
    """Print what a run did."""
    console.print(
        f"{report.events_landed:,} events landed, {report.profiles_updated:,} profiles updated, "
        f"{report.profiles_indexed:,} indexed, in {report.seconds:.1f} s "
        f"({report.events_per_second:,.0f} events/s)"
    )
    if report.invalid_messages:
        console.print(
            f"{report.invalid_messages:,} messages do not keep the contract; "
            "they are in raw_events_dead_letter",
            style="yellow",
        )


def print_gaps(gaps: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print what was removed from the topic before it reached the lake, and what to do.

    Args:
        gaps: open gaps, as in the report.
        console: where to print.
    """
    for line in gap_lines(gaps):
        console.print(line, markup=False, style="yellow")


def print_waiting(lines: Sequence[str], console: Console) -> None:
    """Print what waits for a decision, as in the report."""
    for line in lines:
        console.print(printable(line), markup=False, style="yellow")


def gap_lines(gaps: Sequence[Mapping[str, Any]]) -> list[str]:
    """Describe open gaps, as in the report, in lines; no gaps give no lines."""
    if not gaps:
        return []
    lines = ["Some messages of raw_events were removed before they were read:"]
    missing: dict[str, int] = {}
    for gap in gaps:
        offsets = describe_offsets(Gap.from_json(gap))
        lines.append(f"  {offsets} of partition {gap['partition']}, found {gap['found_at']}")
        for source in gap["sources"] or ():
            missing[source["source"]] = source["missing"]
    for name, rows in sorted(missing.items()):
        lines.append(f"  {printable(name)}: {rows:,} of its rows are not in the lake")
    if any(gap["sources"] is None for gap in gaps):
        action = "The next run of `make process` says which sources they came from."
    elif missing.keys() == {REDRIVEN}:
        action = "`make redrive` sends these rows again; then run `make process`."
    elif REDRIVEN in missing:
        action = "`make redrive`, and `make ingest` of the sources, send them again; then run "
        action += "`make process`."
    elif missing:
        action = "`make ingest` of these sources sends them again; then run `make process`."
    else:
        action = "No ingested source lacks rows, so another program has sent these messages."
    return [*lines, action, "`make process ACCEPT_GAPS=1` gives up what is missing."]


def micro_batch_line(batch: MicroBatch) -> str:
    """Describe one micro-batch of a stream in a line."""
    lag = "" if batch.lag_seconds is None else f", seen after {batch.lag_seconds:.1f} s"
    invalid = f", {batch.invalid_messages:,} invalid messages" if batch.invalid_messages else ""
    return (
        f"  {batch.at[11:19]}  batch {batch.batch}: {batch.events:,} events, "
        f"{batch.customers:,} customers{invalid} in {batch.seconds:.1f} s{lag}, "
        f"{batch.lag_events:,} waiting"
    )


def print_best_customers(profiles: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print the customers with the highest revenue."""
    if not profiles:
        return
    console.print("\nBest customers", style="bold")
    for profile in profiles:
        brand = printable(profile["favorite_brand"] or "no brand", BRAND_LENGTH)
        console.print(
            f"  {profile['user_id']}  {profile['total_revenue']:>12,.2f} "
            f"({profile['total_purchases']} bought), mostly {brand}",
            # A brand may look like markup.
            markup=False,
        )


def print_next_steps(user_id: str, url: str, curl_user: str, console: Console) -> None:
    """Print where to look next.

    Args:
        user_id: a customer for the example.
        url: where people reach Elasticsearch.
        curl_user: curl's option with the reader's account, or nothing.
        console: where to print.
    """
    query = f"{url}/customer_profiles/_search?q=customer_segment:%22High+Value%22&pretty"
    console.print("\nWhere to look next", style="bold")
    for topic, command in (
        ("one profile", f"make profile ID={user_id}"),
        ("by curl", f"curl {curl_user}'{query}'"),
        ("dashboards", "make dashboard"),
        ("what runs", "make status"),
    ):
        console.print(f"  {topic:<12} {command}", markup=False)


def summary(report: RunReport) -> Table:
    """Return all profiles at a glance."""
    # Imported here, because rich takes a tenth of a second and many runs print no table.
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right", style="dim")
    table.add_column(style="cyan", no_wrap=True)

    def add_total(name: str, total: str) -> None:
        table.add_row(Text(name, "bold"), Text(total, "bold"))

    def add_shares(parts: Mapping[str, int], whole: int) -> None:
        for name, count in parts.items():
            if count:
                share = count / whole
                bar = "█" * max(1, round(BAR_WIDTH * share))
                # The name of a segment may look like markup.
                label = Text(f"  {printable(name)}")
                table.add_row(label, f"{count:,}", f"{100 * share:.1f} %", bar)

    table.add_row()
    add_total("Events", f"{report.events:,}")
    add_shares(report.event_types, report.events)
    add_total("Customers", f"{report.customers:,}")
    add_shares(report.segments, report.customers)
    add_total("Revenue", f"{Decimal(report.revenue):,}")
    average = Decimal(report.average_customer_value)
    table.add_row("  average per customer", f"{average:,}")
    return table
