"""What a check or a repair says to people, and its report for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from customer_profiles.lake.findings import Finding
from customer_profiles.processing.integrity.diagnosis import Diagnosis
from customer_profiles.processing.integrity.steps import Loss

if TYPE_CHECKING:
    from rich.console import Console

MAX_ROWS = 40
"""Findings in the table. The report has all of them."""


def print_findings(findings: Sequence[Finding], console: Console) -> None:
    """Print a table of findings: the object, what is wrong, how much it concerns, what mends it."""
    # Most runs print no table, and rich takes a tenth of a second.
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("object", "what is wrong", "batch", "events", "customers", "mended by"):
        is_number = name in ("events", "customers")
        table.add_column(name, overflow="fold", justify="right" if is_number else "left")
    for finding in findings[:MAX_ROWS]:
        problem = finding.kind.value + (f": {finding.detail}" if finding.detail else "")
        table.add_row(
            escape(finding.object),
            escape(problem),
            _batches(finding),
            _number(finding.events),
            _number(finding.customers),
            finding.remedy.value,
        )
    console.print(table)
    if len(findings) > MAX_ROWS:
        console.print(f"… and {len(findings) - MAX_ROWS:,} more; the report has all of them")


def print_losses(losses: Sequence[Loss], console: Console) -> None:
    """Print what is lost, and how to get it back."""
    console.print("[bold]Lost: neither the lake nor the topic has these events any more[/]")
    for loss in losses:
        console.print(f"  {loss}", markup=False)
    sources = sorted({source for loss in losses for source in loss.sources})
    names = ", ".join(sources) if sources else "the sources of these batches"
    console.print(
        f"To get them back, ingest the sources again: {names}.\n"
        "Next: make process, which lets ingestion send them again; then make ingest "
        "FILE=… of each, then make process. Events that are in the lake already count once.",
        markup=False,
    )


def report_of(
    diagnosis: Diagnosis, *, deep: bool, seconds: float, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the content of `verify-latest.json` or `repair-latest.json`."""
    return {
        "deep": deep,
        "seconds": round(seconds, 3),
        "findings": [
            {**finding.to_json(), "remedy": finding.remedy.value, "kind": finding.kind.value}
            for finding in diagnosis.findings
        ],
        "notes": list(diagnosis.notes),
        **(extra or {}),
    }


def _batches(finding: Finding) -> str:
    if finding.batches is None:
        return ""
    first, last = finding.batches
    return str(first) if first == last else f"{first} to {last}"


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
