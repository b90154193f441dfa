"""What a reader may look at without drawing a verdict from it: segments, days, time."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl
from scipy import stats

from customer_profiles.experimentation.compare import (
    Capped,
    Question,
    columns_of,
    compare,
    compare_moments,
    moments,
)
from customer_profiles.experimentation.definition import Experiment, Metric
from customer_profiles.experimentation.measure import DAY_SUMS
from customer_profiles.experimentation.result import (
    DayEffect,
    Interval,
    Look,
    MetricResult,
    Role,
)
from customer_profiles.experimentation.statistics import Moments

MIN_CUSTOMERS = 100
"""Customers that each variant needs in a segment. Below, intervals of skewed metrics are wrong."""


def by_segment(
    customers: pl.DataFrame, experiment: Experiment, metric: Metric, cap: Capped, *, always: bool
) -> tuple[tuple[MetricResult, ...], tuple[str, ...]]:
    """Compare the variants within each segment of before the exposure.

    Returns:
        The comparisons, corrected for their number, and the segments that are too small.
    """
    closed = customers.select("segment", "variant", *columns_of(customers, metric)).filter(
        pl.col(metric.name).is_not_null() & pl.col("segment").is_not_null()
    )
    sizes = closed.group_by("segment", "variant").len()
    large: list[str] = []
    small: list[str] = []
    for segment in sorted(closed["segment"].unique()):
        counts = sizes.filter(pl.col("segment") == segment)
        fits = counts.height == len(experiment.variants) and counts["len"].min() >= MIN_CUSTOMERS  # type: ignore[operator]
        (large if fits else small).append(segment)
    comparisons = len(large) * experiment.comparisons
    results = [
        compare(
            closed.filter(pl.col("segment") == segment),
            experiment,
            metric,
            Question(Role.SEGMENT, variant.name, comparisons, always, segment),
            cap,
        )
        for segment in large
        for variant in experiment.treatments
    ]
    return tuple(results), tuple(small)


def by_day(
    days: pl.DataFrame, customers: pl.DataFrame, experiment: Experiment, metric: Metric
) -> tuple[DayEffect, ...]:
    """Compare the variants on each day after the exposure, without winsorisation.

    A novelty effect shrinks from day to day. Intervals are not corrected for their number.

    Args:
        days: as `Measured` has them.
        customers: as `Measured` has them.
        experiment: the experiment.
        metric: the primary metric.
    """
    own = customers.select("variant", metric.name)
    closed = own.filter(pl.col(metric.name).is_not_null())
    sizes = dict(closed["variant"].value_counts().iter_rows())
    rows = days.select("variant", "day", *DAY_SUMS).rows()
    sums: dict[tuple[str, int], tuple[float, ...]] = {(row[0], row[1]): row[2:] for row in rows}
    control = experiment.control.name
    effects: list[DayEffect] = []
    for variant in experiment.treatments:
        for day in range(metric.from_days, metric.window_days):
            pair = [
                _day(sums.get((name, day), (0.0,) * 5), sizes.get(name, 0), metric)
                for name in (control, variant.name)
            ]
            effects.append(_day_effect(variant.name, day, pair, experiment.alpha))
    return tuple(effects)


def over_time(
    customers: pl.DataFrame, experiment: Experiment, metric: Metric, cap: Capped, as_of: datetime
) -> tuple[Look, ...]:
    """Compare the variants as each day's end (UTC) would have shown them, by confidence sequences.

    The cap is today's.
    """
    closes = (pl.col("exposed_at") + pl.lit(metric.window)).dt.date() + pl.duration(days=1)
    own = customers.select("variant", "exposed_at", *columns_of(customers, metric))
    closed = own.filter(pl.col(metric.name).is_not_null()).with_columns(closes.alias("closes"))
    parts: dict[tuple[str, date], Moments] = {
        (str(name), day): moments(part, metric)
        for (name, day), part in closed.partition_by(
            "variant", "closes", as_dict=True, maintain_order=False
        ).items()
    }
    looks: list[Look] = []
    known: dict[str, Moments] = {}
    for day in sorted({day for _, day in parts}):
        if _ends(day) > as_of:
            break
        for variant in experiment.variants:
            part = parts.get((variant.name, day))
            if part is not None:
                earlier = known.get(variant.name)
                known[variant.name] = part if earlier is None else _merge(earlier, part)
        for variant in experiment.treatments:
            pair = [known.get(name) for name in (experiment.control.name, variant.name)]
            if pair[0] is None or pair[1] is None:
                continue
            question = Question(Role.PRIMARY, variant.name, experiment.comparisons, always=True)
            result = compare_moments(pair[0], pair[1], experiment, metric, question, cap)
            if result.absolute.low is not None:
                looks.append(Look(day - timedelta(days=1), result))
    return tuple(looks)


def _ends(day: date) -> datetime:
    """Return the start of a day, which ends the day before it."""
    return datetime.combine(day, time(), UTC)


def _merge(left: Moments, right: Moments) -> Moments:
    """Add moments of which one may be of a single customer, who has no variance."""
    return _known(left) + _known(right)


def _known(part: Moments) -> Moments:
    return Moments(part.count, part.means, np.nan_to_num(part.covariances, posinf=0, neginf=0))


def _day(sums: tuple[float, ...], count: int, metric: Metric) -> tuple[float, float] | None:
    """Return a variant's value on one day, and the variance of that value."""
    if count < 2:
        return None
    top, below, squares, squares_of, products = sums
    if not metric.is_ratio:
        mean = top / count
        return mean, max(0.0, squares / count - mean**2) / (count - 1)
    if not below:
        return None
    ratio = top / below
    # The residuals of the delta method have a mean of zero.
    residuals = squares - 2 * ratio * products + ratio**2 * squares_of
    return ratio, max(0.0, residuals) / (count - 1) * count / below**2


def _day_effect(
    variant: str, day: int, pair: list[tuple[float, float] | None], alpha: float
) -> DayEffect:
    control, treatment = pair
    if control is None or treatment is None:
        return DayEffect(variant, day, Interval(None, None, None), None, None)
    difference = treatment[0] - control[0]
    half = float(stats.norm.ppf(1 - alpha / 2)) * (control[1] + treatment[1]) ** 0.5
    interval = Interval(difference, difference - half, difference + half)
    return DayEffect(variant, day, interval, control[0], treatment[0])
