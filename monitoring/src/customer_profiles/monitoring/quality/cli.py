"""The command line of data quality: evaluate the checks, or show the rows of a value."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

from customer_profiles.common.cli import run_command
from customer_profiles.common.clock import now_utc
from customer_profiles.common.environ import load_environ
from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.common.logs import configure_logging
from customer_profiles.lake.s3 import S3Config, S3ObjectStore
from customer_profiles.monitoring.quality.evaluation import (
    Evaluation,
    evaluate_lake,
    index,
    keep,
)
from customer_profiles.monitoring.quality.rows import find_rows, parse_name
from customer_profiles.monitoring.settings import Settings
from customer_profiles.quality.calendar import read_calendar
from customer_profiles.quality.checks import Check, by_name
from customer_profiles.quality.contract import read_contract
from customer_profiles.quality.findings import Severity, State, worst
from customer_profiles.quality.messages import expected_text, format_value
from customer_profiles.quality.watch import Verdict
from customer_profiles.search.client import ElasticsearchConfig

EXIT_CODES = {None: 0, Severity.WARN: 0, Severity.FAIL: 3, Severity.QUARANTINE: 4}
"""By the most severe open finding."""
_STYLES = {State.OK: "green", State.WARMING_UP: "dim", State.WARN: "yellow"}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code: 0, 1 after an error, or one of `EXIT_CODES`."""
    parser = argparse.ArgumentParser(
        prog="python -m customer_profiles.monitoring.quality",
        description="Evaluate the checks of data quality. Exit code 0: nothing failed; 3: a check "
        "failed; 4: a check of severity quarantine failed; 1: the command itself failed.",
    )
    parser.add_argument("--contract", type=Path, help="an ODCS 3.1 contract with the checks")
    parser.add_argument("--calendar", type=Path, help="a YAML file with days that are special")
    parser.add_argument("--show", metavar="VALUE", help="show the rows of a value of a day")
    options = parser.parse_args(arguments)
    return run_command(lambda: _run(options), interrupted="Stopped. Nothing was changed.")


def _run(options: argparse.Namespace) -> int:
    checks = read_contract(options.contract)
    special_days = read_calendar(options.calendar)
    environ = load_environ()
    console = configure_logging(environ)
    settings = Settings.from_env(environ)
    store = S3ObjectStore(S3Config.from_settings(settings))
    if options.show:
        series, day = parse_name(options.show)
        rows = find_rows(store, series, day)
        console.print(f"{rows.height} rows of {options.show}, the most telling first", markup=False)
        console.print(rows.write_csv(), markup=False)
        return 0
    evaluation = evaluate_lake(store, checks, special_days, now_utc())
    keep(store, evaluation)
    print_evaluation(evaluation, checks, console)
    try:
        index(ElasticsearchConfig.from_settings(settings), evaluation, checks)
    except PipelineError as error:
        console.print(f"The index is behind: {first_line(error)}", markup=False)
    return EXIT_CODES[worst(evaluation.open.findings)]


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
    for finding in evaluation.open.findings:
        because = f" (because of {finding.explained_by})" if finding.explained_by else ""
        console.print(
            f"{finding.severity}: {finding.message}{because}\n"
            f"  since {finding.since}, {finding.times_before} times before; {finding.command}",
            markup=False,
        )
    days = {finding.day for finding in evaluation.findings}
    console.print(_history(days, evaluation.newest), markup=False)


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
