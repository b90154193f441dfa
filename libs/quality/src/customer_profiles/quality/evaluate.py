"""Evaluate checks over a history: pure, and the same history always gives the same findings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from customer_profiles.quality.checks import Check, by_name
from customer_profiles.quality.explain import explain
from customer_profiles.quality.findings import Finding, Severity
from customer_profiles.quality.history import History, Observation, Series
from customer_profiles.quality.messages import describe, show_command
from customer_profiles.quality.watch import ClockWatch, Verdict, Watch

CLOCK = Series("clock_shift")


@dataclass(slots=True)
class Evaluator:
    """The checks of all series, day by day."""

    checks: Mapping[str, Check]
    special_days: Collection[date] = ()
    """The days of the calendar."""
    _watches: dict[Series, Watch] = field(default_factory=dict)
    _clock: ClockWatch | None = None

    def judge(
        self, day: date, observed: Mapping[Series, Observation], half_hours: Sequence[int] | None
    ) -> list[Verdict]:
        """Judge one day by the days before it. Nothing is remembered.

        Args:
            day: the day.
            observed: its values.
            half_hours: its rows by half-hour; None for a day without rows.
        """
        is_special = day in self.special_days
        verdicts = []
        for series, value in sorted(observed.items()):
            if watch := self._watch(series):
                verdicts.append(watch.judge(day, value, is_special=is_special))
        if CLOCK.check in self.checks and half_hours is not None:
            if self._clock is None:
                self._clock = ClockWatch(Watch(CLOCK, self.checks[CLOCK.check]))
            verdicts.append(self._clock.judge(day, half_hours))
        return verdicts

    def remember(self, verdicts: Iterable[Verdict], half_hours: Sequence[int] | None) -> None:
        """Learn from a day that was judged."""
        for verdict in verdicts:
            is_special = verdict.day in self.special_days
            if verdict.series == CLOCK:
                if self._clock is not None and half_hours is not None:
                    self._clock.remember(verdict, half_hours)
            elif watch := self._watch(verdict.series):
                watch.remember(verdict, is_special=is_special)

    def _watch(self, series: Series) -> Watch | None:
        watch = self._watches.get(series)
        check = self.checks.get(series.check)
        if watch is None and check is not None:
            if check.fields is not None and series.field not in check.fields:
                return None
            watch = self._watches[series] = Watch(series, check)
        return watch


def evaluate(
    history: History, checks: Iterable[Check], special_days: Collection[date] = ()
) -> list[Verdict]:
    """Judge every day of a history by the days before it.

    Args:
        history: the closed days.
        checks: the checks of the contract.
        special_days: days of the calendar, which are neither judged by what is learned nor learned.

    Returns:
        One verdict for each value, in the order of days.
    """
    evaluator = Evaluator(by_name(checks), special_days)
    verdicts: list[Verdict] = []
    by_day: dict[date, dict[Series, Observation]] = {day: {} for day in history.days}
    for series, observed in history.series.items():
        for day, value in observed.items():
            by_day[day][series] = value
    for day, values in by_day.items():
        half_hours = history.half_hours.get(day)
        judged = evaluator.judge(day, values, half_hours)
        evaluator.remember(judged, half_hours)
        verdicts += judged
    return verdicts


def findings_of(verdicts: Iterable[Verdict], checks: Iterable[Check]) -> list[Finding]:
    """Turn verdicts that are alerts into findings, each with what explains it."""
    known = by_name(checks)
    return explain(
        [_finding(verdict, known[verdict.series.check]) for verdict in verdicts if verdict.is_alert]
    )


def _finding(verdict: Verdict, check: Check) -> Finding:
    series = verdict.series
    return Finding(
        check=series.check,
        dataset=check.measure.dataset,
        field=series.field or None,
        day=verdict.day,
        severity=Severity(verdict.state.value),
        value=verdict.observed.value,
        expected=verdict.expected,
        expected_low=verdict.low,
        expected_high=verdict.high,
        since=verdict.since or verdict.day,
        times_before=verdict.times_before,
        message=describe(verdict, check),
        command=show_command(series, verdict.day),
        labels={"source": series.source} if series.source else {},
    )
