"""What is normal: a robust baseline of earlier days, and how far a day is from it.

The level is the median of the last 14 days, after each weekday's factor was taken out. The factor
of a weekday is the median of what its last days were above the level, shrunk by n / (n + 2). The
scale is 1.4826 times the median absolute error of the last 56 days, and never below a floor. Days
that raised an alert and days of the calendar leave the baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from math import exp, log, sqrt
from statistics import median

from customer_profiles.quality.history import Observation

LEVEL_DAYS = 14
SCALE_DAYS = 56
WARM_UP_DAYS = 14
"""Normal days that a series needs before it is judged."""
NEW_NORMAL_DAYS = 14
"""After so many days in a row on the same side, a deviation is what is normal now."""
MAD_TO_SIGMA = 1.4826
EMPTY = 0.5
"""Stands for 0 where a logarithm is taken."""


class Kind(StrEnum):
    """How values of a series are compared."""

    COUNT = "count"
    """By their ratio: counts, amounts and prices."""
    SHARE = "share"
    """By their difference: parts of 1."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """When a deviation is worth an alert. The contract sets these by check."""

    kind: Kind
    min_effect: float
    """The least deviation: a difference of logarithms for counts, of shares for shares."""
    floor: float
    """The least scale, in the same unit."""
    sigmas: float = 4.0
    fails_below: float | None = None
    """Less than this part of what was expected is always an alert."""
    noise: float = 0.0
    """What few rows add. For shares: by how much their variance is above that of independent rows.
    For counts: the standard deviation of one row's logarithm."""
    only_above: bool = False
    """Whether lower values are no alert."""
    min_rows: int = 30
    """A day with fewer rows than this expected is not judged."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a baseline expects of a day."""

    value: float
    low: float
    high: float
    deviation: float
    """The value's distance in scales; negative below."""
    alert: bool


@dataclass(slots=True)
class Baseline:
    """The memory of one series. It takes days in order."""

    sensitivity: Sensitivity
    days: list[tuple[date, float]] = field(default_factory=list)
    """Normal days and their values, transformed."""
    residuals: list[tuple[int, float]] = field(default_factory=list)
    """Weekdays and what the days were above the level."""
    errors: list[float] = field(default_factory=list)
    """What the days were above what was expected."""
    rows: list[float] = field(default_factory=list)
    _factors: dict[int, float] = field(default_factory=dict)
    """Of each weekday."""
    _level: float = 0.0

    @property
    def is_warm(self) -> bool:
        """Whether there are enough days to judge another one."""
        return len(self.days) >= WARM_UP_DAYS

    def expect(self, day: date, observed: Observation) -> Expectation | None:
        """Compare a day with the normal days before; None during the warm-up."""
        if not self.is_warm or self._expected_rows(observed) < self.sensitivity.min_rows:
            return None
        centre = self._centre(day)
        scale = self._scale(centre, observed)
        margin = max(self.sensitivity.sigmas * scale, self.sensitivity.min_effect)
        distance = self._transform(observed) - centre
        low, high = self._back(centre - margin), self._back(centre + margin)
        expected = self._back(centre)
        alert = distance > margin or (distance < -margin and not self.sensitivity.only_above)
        part = self.sensitivity.fails_below
        if part is not None and self.sensitivity.kind is Kind.COUNT:
            low = max(low, part * expected)
            alert = alert or observed.value < part * expected
        return Expectation(expected, low, high, distance / scale, alert)

    def add(self, day: date, observed: Observation) -> None:
        """Remember a normal day."""
        value = self._transform(observed)
        if self.days:
            self.residuals.append((day.weekday(), value - self._level))
        if len(self.days) >= LEVEL_DAYS // 2:
            self.errors.append(value - self._centre(day))
        self.days.append((day, value))
        self.rows.append(observed.rows)
        for memory in (self.days, self.residuals, self.errors, self.rows):
            del memory[:-SCALE_DAYS]
        self._factors = {weekday: self._weekday_factor(weekday) for weekday in range(7)}
        recent = self.days[-LEVEL_DAYS:]
        self._level = median(number - self._factors[then.weekday()] for then, number in recent)

    def copy(self) -> Baseline:
        """Return the same memory, which then learns on its own."""
        return replace(
            self,
            days=list(self.days),
            residuals=list(self.residuals),
            errors=list(self.errors),
            rows=list(self.rows),
            _factors=dict(self._factors),
        )

    def _expected_rows(self, observed: Observation) -> float:
        return max(median(self.rows[-LEVEL_DAYS:]), observed.rows)

    def _weekday_factor(self, weekday: int) -> float:
        same = [residual for number, residual in self.residuals if number == weekday]
        return median(same) * len(same) / (len(same) + 2) if same else 0.0

    def _centre(self, day: date) -> float:
        return self._level + self._factors.get(day.weekday(), 0.0)

    def _scale(self, centre: float, observed: Observation) -> float:
        spread = MAD_TO_SIGMA * _mad(self.errors)
        rows, noise = max(observed.rows, 1.0), self.sensitivity.noise
        if self.sensitivity.kind is Kind.SHARE:
            share = min(max(centre, 0.0), 1.0)
            sampling = sqrt(noise * share * (1 - share) / rows)
        else:
            sampling = noise / sqrt(rows)
        return max(spread, self.sensitivity.floor, sampling)

    def _transform(self, observed: Observation) -> float:
        if self.sensitivity.kind is Kind.SHARE:
            return observed.value
        return log(max(observed.value, EMPTY))

    def _back(self, value: float) -> float:
        if self.sensitivity.kind is Kind.SHARE:
            return min(max(value, 0.0), 1.0)
        return exp(value)


def _mad(errors: Sequence[float]) -> float:
    """Return the median absolute deviation from 0."""
    return median(map(abs, errors)) if errors else 0.0
