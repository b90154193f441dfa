"""Windows of time relative to a customer's first exposure.

A covariate that is measured after the exposure contains a part of the effect and hides it. So the
window of a covariate has a type of its own, and no such window can reach beyond the exposure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from customer_profiles.experimentation.definition import Metric

_NOW = timedelta(0)


@dataclass(frozen=True, slots=True)
class AfterExposure:
    """From `first` to `last` after the exposure; `last` itself is outside."""

    first: timedelta
    last: timedelta

    def __post_init__(self) -> None:
        if not _NOW <= self.first < self.last:
            raise ValueError("an outcome is measured after the exposure")

    @classmethod
    def of(cls, metric: Metric) -> AfterExposure:
        """Return the window of a metric."""
        return cls(timedelta(days=metric.from_days), metric.window)


@dataclass(frozen=True, slots=True)
class BeforeExposure:
    """From `first` to `last`, which both are before the exposure or at it: at most zero."""

    first: timedelta
    last: timedelta = _NOW

    def __post_init__(self) -> None:
        if not self.first < self.last <= _NOW:
            raise ValueError(
                "a covariate is measured before the exposure, "
                "because after it the treatment changes the covariate itself"
            )

    @classmethod
    def of(cls, metric: Metric) -> BeforeExposure | None:
        """Return the window of a metric's covariate; None if it has none."""
        return cls(timedelta(days=-metric.covariate_days)) if metric.covariate_days else None


def outcome_window(window: AfterExposure) -> pl.Expr:
    """Return whether `since_exposure` Duration(us) is in a window."""
    return _within(window.first, window.last)


def covariate_window(window: BeforeExposure) -> pl.Expr:
    """Return whether `since_exposure` Duration(us) is in the window of a covariate.

    Raises:
        TypeError: the window is not one before the exposure.
    """
    if not isinstance(window, BeforeExposure):
        raise TypeError(f"a covariate needs a BeforeExposure, not {type(window).__name__}")
    return _within(window.first, window.last)


def _within(first: timedelta, last: timedelta) -> pl.Expr:
    since = pl.col("since_exposure")
    return (since >= pl.lit(first)) & (since < pl.lit(last))
