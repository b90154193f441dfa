"""A finding in words, and the command that shows its rows."""

from __future__ import annotations

import shlex
from datetime import date

from customer_profiles.quality.checks import Check
from customer_profiles.quality.history import Series
from customer_profiles.quality.watch import Verdict

PERCENT = "percent"


def describe(verdict: Verdict, check: Check) -> str:
    """Say in one sentence what was found and what was expected."""
    series, unit = verdict.series, check.measure.unit
    what = check.measure.text.format(field=series.field or "it")
    where = f" {series.source}" if series.source else ""
    value = format_value(verdict.observed.value, unit)
    return f"{value} {what}{where} on {verdict.day}; expected: {expected_text(verdict, unit)}"


def expected_text(verdict: Verdict, unit: str) -> str:
    """Return the expected range for people."""
    low, high = (
        None if limit is None else format_value(limit, unit)
        for limit in (verdict.low, verdict.high)
    )
    if low is None:
        return f"at most {high}" if high is not None else "unknown yet"
    return f"at least {low}" if high is None else f"{low} to {high}"


def format_value(value: float, unit: str) -> str:
    """Write a value with its unit's habits."""
    if unit == PERCENT:
        return f"{100 * value:.1f} %"
    if unit in {"price", "amount"}:
        return f"{value:,.2f}"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:,.2f}"


def series_id(series: Series, day: date) -> str:
    """Name a value of a day: `null_share/brand@2021-01-05`, with `+source` for one of a source."""
    name = f"{series.check}/{series.field}" if series.field else series.check
    return f"{name}{f'+{series.source}' if series.source else ''}@{day.isoformat()}"


def show_command(series: Series, day: date) -> str:
    """Return the command that shows the rows of a value."""
    return f"make quality SHOW={shlex.quote(series_id(series, day))}"
