"""The command line of data quality: evaluate the checks, or show the rows of a value."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import date, timedelta
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from customer_profiles.common.cli import run_command
from customer_profiles.common.clock import now_utc
from customer_profiles.common.environ import load_environ
from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.common.logs import configure_logging
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.quarantine import (
    WAITING_NOTE,
    Quarantine,
    change_quarantine,
    waiting_lines,
)
from customer_profiles.lake.s3 import S3Config, S3ObjectStore
from customer_profiles.monitoring.quality.evaluation import (
    Evaluation,
    evaluate_lake,
    index,
    keep,
)
from customer_profiles.monitoring.quality.routine import declare_holding, evaluate_if_due
from customer_profiles.monitoring.quality.rows import find_rows, parse_name
from customer_profiles.monitoring.settings import Settings
from customer_profiles.quality.calendar import read_calendar
from customer_profiles.quality.checks import Check, by_name
from customer_profiles.quality.contract import read_contract
from customer_profiles.quality.findings import OpenFindings, Severity, State, worst
from customer_profiles.quality.messages import expected_text, format_value
from customer_profiles.quality.quarantine import holding_checks
from customer_profiles.quality.watch import Verdict
from customer_profiles.search.client import ElasticsearchConfig

EXIT_CODES = {None: 0, Severity.WARN: 0, Severity.FAIL: 3, Severity.QUARANTINE: 4}
"""By the most severe open finding."""
MAX_PRINTED = 40
"""Findings that are printed. The lake and the index have all of them."""
MAX_AFTER_A_RUN = 3
"""Findings that are printed after a run, whose own report is what people want to read."""
_STYLES = {State.OK: "green", State.WARMING_UP: "dim", State.WARN: "yellow"}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code: 0, 1 after an error, or one of `EXIT_CODES`."""
    parser = argparse.ArgumentParser(
        prog="python -m customer_profiles.monitoring quality",
        description="Evaluate the checks of data quality. Exit code 0: nothing failed; 3: a check "
        "failed; 4: a check of severity quarantine failed; 1: the command itself failed.",
    )
    parser.add_argument("--contract", type=Path, help="an ODCS 3.1 contract with the checks")
    parser.add_argument("--calendar", type=Path, help="a YAML file with days that are special")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--show", metavar="VALUE", help="show the rows of a value of a day")
    how.add_argument(
        "--accept",
        metavar="BATCH",
        type=int,
        help="let the micro-batch that waits pass; the next run builds its profiles",
    )
    how.add_argument(
        "--if-due",
        action="store_true",
        help="evaluate only if there are new rows or another day has closed, and print only what "
        "was found; exit code 0 then",
    )
    options = parser.parse_args(arguments)
    return run_command(lambda: _run(options), interrupted="Stopped. Nothing was changed.")


def _run(options: argparse.Namespace) -> int:
    environ = load_environ()
    console = configure_logging(environ)
    settings = Settings.from_env(environ)
    store = S3ObjectStore(S3Config.from_settings(settings))
    if options.accept is not None:
        return _accept(store, options.accept, settings, console)
    if options.if_due:
        evaluation = evaluate_if_due(settings, store, now_utc(), timedelta(0))
        if evaluation is not None:
            print_findings(evaluation.open, console, MAX_AFTER_A_RUN)
        return 0
    checks = read_contract(options.contract or settings.quality_contract)
    special_days = read_calendar(options.calendar or settings.quality_calendar)
    if options.show:
        series, day = parse_name(options.show)
        rows = find_rows(store, series, day)
        console.print(f"{rows.height} rows of {options.show}, the most telling first", markup=False)
        console.print(rows.write_csv(), markup=False)
        return 0
    # Checks may be declared before the first run.
    store.ensure_bucket()
    if options.contract is None:
        quarantine = declare_holding(store, checks, special_days)
        _print_waiting(store, quarantine, console)
    elif holding_checks(checks):
        console.print("Set QUALITY_CONTRACT in .env to this contract to let it hold batches back.")
    evaluation = evaluate_lake(store, checks, special_days, now_utc())
    keep(store, evaluation)
    print_evaluation(evaluation, checks, console)
    try:
        index(ElasticsearchConfig.from_settings(settings), evaluation, checks)
    except PipelineError as error:
        console.print(f"The index is behind: {first_line(error)}", markup=False)
    return EXIT_CODES[worst(evaluation.open.findings)]


def _accept(store: ObjectStore, batch: int, settings: Settings, console: Console) -> int:
    """Let the batch that waits pass."""
    change_quarantine(store, partial(Quarantine.with_accepted, batch=batch))
    (settings.reports / WAITING_NOTE).unlink(missing_ok=True)
    console.print(f"Batch {batch} is accepted. Next: make process, which builds its profiles.")
    return 0


def _print_waiting(store: ObjectStore, quarantine: Quarantine, console: Console) -> None:
    held = quarantine.held
    if held is not None:
        log = BatchLog(store)
        later = [number for number in log.committed if number >= held.batch]
        events = sum(log.commit_record(number).events for number in later)
        for line in waiting_lines(quarantine, log.last_committed, events):
            console.print(line, markup=False, style="yellow")


def print_evaluation(evaluation: Evaluation, checks: tuple[Check, ...], console: Console) -> None:
    """Show the checks of the newest closed day, and what was found on it."""
    if evaluation.missing:
        console.print(
            "Some micro-batches have no statistics: an older version landed them, or they are "
            "lost. Their days look emptier than they are.",
            style="yellow",
        )
    if evaluation.newest is None:
        console.print("No event day is closed yet: nothing can be said.")
        return
    known = by_name(checks)
    table = Table(title=f"Data quality on {evaluation.newest}")
    for heading in ("check", "field", "value", "expected", "state"):
        table.add_column(heading)
    for verdict in evaluation.verdicts:
        if verdict.day == evaluation.newest:
            table.add_row(*_cells(verdict, known), style=_STYLES.get(verdict.state, "red"))
    console.print(table)
    print_findings(evaluation.open, console)
    days = {finding.day for finding in evaluation.findings}
    console.print(_history(days, evaluation.newest), markup=False)


def print_findings(found: OpenFindings, console: Console, most: int = MAX_PRINTED) -> None:
    """Show what is open: what was found, since when, and the command that shows the rows."""
    for finding in found.findings[:most]:
        because = f" (because of {finding.explained_by})" if finding.explained_by else ""
        console.print(
            f"{finding.severity}: {finding.message}{because}\n"
            f"  since {finding.since}, {finding.times_before} times before; {finding.command}",
            markup=False,
        )
    if (others := len(found.findings) - most) > 0:
        command = ": make quality" if most < MAX_PRINTED else ""
        console.print(f"… and {others} more{command}", markup=False)


def _history(days: set[date], newest: date) -> str:
    earlier = sorted(day for day in days if day != newest)
    if not earlier:
        return "No earlier day has findings."
    return f"{len(earlier)} earlier days have findings, the last one {earlier[-1]}."


def _cells(verdict: Verdict, checks: Mapping[str, Check]) -> tuple[str, ...]:
    unit = checks[verdict.series.check].measure.unit
    return (
        verdict.series.check,
        verdict.series.field or verdict.series.source,
        format_value(verdict.observed.value, unit),
        expected_text(verdict, unit),
        verdict.state.value,
    )
