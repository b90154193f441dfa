"""One series over time: judge a day, then remember it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from customer_profiles.quality.baseline import NEW_NORMAL_DAYS, Baseline
from customer_profiles.quality.checks import Check
from customer_profiles.quality.clock import PROFILE_DAYS, add_profiles, best_shift
from customer_profiles.quality.findings import State
from customer_profiles.quality.history import Observation, Series

MIN_SHIFT_GAIN = 3.0
"""The least gain of a shift, per 1,000 rows (`clock.Shift`)."""
MIN_DAY_GAIN = 16.0
"""The least gain for all rows of a day. A day with few rows says little about its clock."""


class Verdict(NamedTuple):
    """What is to be said of one day of one series."""

    series: Series
    day: date
    observed: Observation
    state: State
    expected: float | None = None
    low: float | None = None
    high: float | None = None
    since: date | None = None
    """The first day of this alert; None without an alert."""
    times_before: int = 0

    @property
    def is_alert(self) -> bool:
        """Whether the value is not what it should be."""
        return self.state not in {State.OK, State.WARMING_UP}


@dataclass(slots=True)
class Watch:
    """A check of one series. Days come in order: `judge` first, then `remember`."""

    series: Series
    check: Check
    baseline: Baseline | None = None
    streak: list[tuple[date, Observation, bool]] = field(default_factory=list)
    """The alarmed days up to now without a normal one between, and whether they were above."""
    alerts: int = 0
    """Alerts that are over."""

    def __post_init__(self) -> None:
        if self.check.learned and self.baseline is None:
            self.baseline = Baseline(self.check.learned)

    def judge(self, day: date, observed: Observation, *, is_special: bool = False) -> Verdict:
        """Compare a day with the limits, or with the days before it.

        Args:
            day: the day.
            observed: its value.
            is_special: whether the calendar names it. A learned check then says nothing.
        """
        threshold, expectation = self.check.threshold, None
        if threshold is not None:
            low, high = threshold.low, threshold.high
            expected, is_alert, warm = None, not threshold.allows(observed.value), True
        else:
            expectation = self.baseline.expect(day, observed) if self.baseline else None
            warm = expectation is not None
            expected = expectation.value if expectation else None
            low = expectation.low if expectation else None
            high = expectation.high if expectation else None
            is_alert = expectation is not None and expectation.alert and not is_special
        if is_alert:
            state = State(self.check.severity.value)
        else:
            state = State.OK if warm else State.WARMING_UP
        since = (self.streak[0][0] if self.streak else day) if is_alert else None
        return Verdict(self.series, day, observed, state, expected, low, high, since, self.alerts)

    def remember(self, verdict: Verdict, *, is_special: bool = False) -> None:
        """Learn from a day that was judged."""
        if verdict.is_alert:
            above = verdict.expected is not None and verdict.observed.value > verdict.expected
            if self.streak and self.streak[-1][2] != above:
                self._end()
            self.streak.append((verdict.day, verdict.observed, above))
            if len(self.streak) >= NEW_NORMAL_DAYS and self.baseline:
                # What has lasted that long is what is normal now.
                for day, observed, _ in self.streak:
                    self.baseline.add(day, observed)
                self._end()
            return
        if self.streak:
            self._end()
        if self.baseline and not is_special:
            self.baseline.add(verdict.day, verdict.observed)

    def _end(self) -> None:
        self.streak.clear()
        self.alerts += 1


@dataclass(slots=True)
class ClockWatch:
    """The check of the clock: its series comes from the hours of the day."""

    watch: Watch
    profiles: deque[Sequence[int]] = field(default_factory=lambda: deque(maxlen=PROFILE_DAYS))

    def judge(self, day: date, half_hours: Sequence[int]) -> Verdict:
        """Tell by how many hours a day is moved."""
        rows = sum(half_hours)
        if len(self.profiles) < PROFILE_DAYS // 2:
            observed = Observation(0.0, rows)
            return self.watch.judge(day, observed)._replace(state=State.WARMING_UP)
        shift = best_shift(half_hours, add_profiles(self.profiles))
        gain = shift.gain * rows / 1000
        is_clear = shift.gain >= MIN_SHIFT_GAIN and gain >= MIN_DAY_GAIN
        hours = shift.hours if is_clear else 0.0
        return self.watch.judge(day, Observation(hours, rows))._replace(expected=0.0)

    def remember(self, verdict: Verdict, half_hours: Sequence[int]) -> None:
        """Learn the hours of a normal day."""
        self.watch.remember(verdict)
        if not verdict.is_alert:
            self.profiles.append(half_hours)
