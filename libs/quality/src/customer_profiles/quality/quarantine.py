"""Does a micro-batch wait for a decision? Pure: statistics and checks in, findings out.

A batch is judged by its own rows, day by day, and so is each source in it, so that a source with
wrong prices does not hide behind the others. What is normal comes from the days before, without
the batch. Checks are read from plain values, because a run that processes reads no YAML.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from datetime import date
from typing import Any

import polars as pl

from customer_profiles.quality import statistics as topic
from customer_profiles.quality.baseline import Kind, Sensitivity
from customer_profiles.quality.checks import HOLDABLE, Check, Threshold, by_name
from customer_profiles.quality.customers import CUSTOMER_SCHEMA
from customer_profiles.quality.evaluate import Evaluator, findings_of
from customer_profiles.quality.findings import Finding, Severity
from customer_profiles.quality.history import Observation, Series, build_history
from customer_profiles.quality.watch import Verdict

MIN_ROWS = 20
"""A source or a day with fewer rows in a batch is not judged by itself."""


def holding_checks(checks: Iterable[Check]) -> list[Check]:
    """Return the checks that hold a batch back."""
    return [check for check in checks if check.severity is Severity.QUARANTINE]


def check_to_json(check: Check) -> dict[str, Any]:
    """Return a check of severity `quarantine` as the lake keeps it."""
    learned, threshold = check.learned, check.threshold
    return {
        "name": check.name,
        "learned": learned and {each.name: getattr(learned, each.name) for each in fields(learned)},
        "threshold": threshold and {"low": threshold.low, "high": threshold.high},
        "fields": sorted(check.fields) if check.fields is not None else None,
    }


def check_from_json(content: Mapping[str, Any]) -> Check:
    """Read what `check_to_json` wrote.

    Raises:
        KeyError, TypeError, ValueError: it is something else.
    """
    name, learned, threshold = content["name"], content["learned"], content["threshold"]
    if name not in HOLDABLE:
        raise ValueError(f"{name} holds no batch back")
    return Check(
        name,
        Severity.QUARANTINE,
        Sensitivity(**{**learned, "kind": Kind(learned["kind"])}) if learned else None,
        Threshold(**threshold) if threshold else None,
        frozenset(content["fields"]) if content["fields"] is not None else None,
    )


def judge_batch(
    before: pl.DataFrame,
    batch: pl.DataFrame,
    checks: Collection[Check],
    special_days: Collection[date] = (),
) -> list[Finding]:
    """Judge one micro-batch.

    Args:
        before: the statistics of all rows before it (`statistics.STATISTICS_SCHEMA`, added up).
        batch: its own statistics, added up.
        checks: `holding_checks`.
        special_days: days of the calendar.

    Returns:
        What it fails, by day. It waits if there is anything. A source is named only where the
        batch as a whole does not fail the same check on that day.
    """
    earlier = _observed(before)
    is_new = ~pl.col("key").is_in(_known_values(before).implode())
    new = batch.filter((pl.col("metric") != topic.FIRST_SEEN) | is_new)
    verdicts = _judge(earlier, new, checks, special_days, "")
    failed = {(each.series.check, each.series.field, each.day) for each in verdicts}
    sources: list[str] = batch.filter(pl.col("metric") == topic.ROWS)["source"].unique().to_list()
    for source in sorted(sources) if len(sources) > 1 else []:
        part = batch.filter(pl.col("source") == source)
        for verdict in _judge(earlier, part, checks, special_days, source):
            if (verdict.series.check, verdict.series.field, verdict.day) not in failed:
                verdicts.append(verdict)
    return findings_of(verdicts, checks)


_Days = Mapping[date, Mapping[Series, Observation]]


def _judge(
    earlier: _Days,
    part: pl.DataFrame,
    checks: Collection[Check],
    special_days: Collection[date],
    source: str,
) -> list[Verdict]:
    """Judge some rows of a batch; return what fails."""
    rows = dict(
        part.filter(pl.col("metric") == topic.ROWS)
        .group_by("day")
        .agg(pl.col("value").sum())
        .iter_rows()
    )
    judged = {day: values for day, values in _observed(part).items() if rows[day] >= MIN_ROWS}
    evaluator = Evaluator(by_name(checks), special_days)
    failed: list[Verdict] = []
    for day in sorted({*earlier, *judged}):
        verdicts = evaluator.judge(day, judged.get(day, {}), None)
        failed += [each for each in verdicts if each.is_alert]
        normal = evaluator.judge(day, earlier.get(day, {}), None) if day in earlier else verdicts
        evaluator.remember(normal, None)
    return [each._replace(series=each.series._replace(source=source)) for each in failed]


def _observed(statistics: pl.DataFrame) -> dict[date, dict[Series, Observation]]:
    """Return the values of each day that rows have by themselves."""
    history = build_history(statistics, pl.DataFrame(schema=CUSTOMER_SCHEMA))
    days: dict[date, dict[Series, Observation]] = {day: {} for day in history.half_hours}
    for series, observed in history.series.items():
        if series.check in HOLDABLE:
            for day, value in observed.items():
                days[day][series] = value
    return days


def _known_values(statistics: pl.DataFrame) -> pl.Series:
    return statistics.filter(pl.col("metric") == topic.FIRST_SEEN)["key"]
