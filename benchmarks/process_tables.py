"""The tables of the processing benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.memory import PeakMemory
from benchmarks.peers import RUNS, RunTime
from benchmarks.tables import describe_machine

PLAIN_JOB = "a plain Spark job: `from_json`, `groupBy`, `collect`, `helpers.bulk`"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The measurements of ours and its peers."""

    events: int
    ours: RunTime
    ours_in_use: RunTime
    """On servers that have been in use."""
    plain: RunTime
    plain_in_use: RunTime
    duckdb_s: float
    new_events: int
    new_events_s: float
    """Ours with `new_events` more events."""
    nothing_new_s: float


def comparison_table(measured: Comparison) -> str:
    """Return the table of ours and its peers."""
    lines = [
        f"{measured.events:,} events; {describe_machine()}; servers on the same cores; "
        "seconds from the command's start, Spark's included; "
        f"each the better of {RUNS} runs. "
        "Freshly started servers, and the same ones emptied and used again.",
        "",
        "| way | seconds | against the plain job | servers in use | against the plain job |",
        "|---|---:|---:|---:|---:|",
    ]
    ours = (measured.ours, measured.ours_in_use)
    plain = (measured.plain, measured.plain_in_use)
    for name, runs, part in (
        (
            "ours until its index is filled: exact, incremental, every message accounted for",
            ours,
            "indexed",
        ),
        ("ours with the summary printed and charts made", ours, "whole"),
        (f"{PLAIN_JOB}, until its index is filled", plain, "indexed"),
        ("the same with the summary printed", plain, "whole"),
    ):
        cells = [name]
        for run, peer in zip(runs, plain, strict=True):
            seconds, peer_seconds = getattr(run, part), getattr(peer, part)
            ratio = "" if run is peer else f"{peer_seconds / seconds:.1f} times"
            cells += [f"{seconds:.1f}", ratio]
        lines.append(f"| {' | '.join(cells)} |")
    for name, seconds in (
        ("DuckDB from the CSV: no Kafka, no lake, no index", measured.duckdb_s),
        (f"ours with {measured.new_events:,} new events on top", measured.new_events_s),
        ("ours with nothing new", measured.nothing_new_s),
    ):
        lines.append(f"| {name} | {seconds:.1f} | | | |")
    return "\n".join(lines)


def growth_table(runs: Sequence[tuple[dict[str, Any], PeakMemory]]) -> str:
    """Return the table of ours with more and more events.

    Args:
        runs: the report and the peak memory of each run; ratios are relative to the first.
    """
    first_report, first_peak = runs[0]
    lines = [
        "| events | customers | seconds | times the first | land | profiles and index "
        "| memory, MB | without mapped files |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for report, peak in runs:
        stages = report["seconds_by_stage"]
        lines.append(
            f"| {report['events']:,} | {report['customers']:,} | {report['seconds']:.1f} "
            f"| {report['seconds'] / first_report['seconds']:.1f} "
            f"| {stages['land']:.1f} | {stages['profile']:.1f} "
            f"| {peak.total:,.0f} ({peak.total / first_peak.total:.2f} times) "
            f"| {peak.anonymous:,.0f} ({peak.anonymous / first_peak.anonymous:.2f} times) |"
        )
    return "\n".join(lines)
