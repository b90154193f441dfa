"""How many customers and days an experiment needs, from what customers did before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from scipy import optimize, stats

from customer_profiles.experimentation.compare import moments, winsorise
from customer_profiles.experimentation.definition import Experiment, Kind, Method, Metric
from customer_profiles.experimentation.measure import Measured
from customer_profiles.experimentation.statistics import (
    adjusted_arms,
    mixture_rate,
    sequence_quantile,
)

LARGEST_EFFECT = 10.0
"""Relative effects up to this are tried."""
_PROPORTIONS = (Kind.CONVERSION, Kind.RETENTION)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the metric does without an experiment."""

    value: float
    """Of the metric."""
    variance: float
    """Of one customer's contribution, after the covariate has taken its share."""
    variance_reduction: float
    """The share of the variance that the covariate takes away."""
    customers: int
    """Customers of the history that this is based on."""
    proportion: bool
    """Whether the metric is 0 or 1, so that its variance follows from its mean."""

    def treated(self, effect: float) -> tuple[float, float]:
        """Return value and variance of a variant with a relative effect.

        A proportion p has the variance p (1 - p). All other metrics are multiplied.
        """
        value = self.value * (1 + effect)
        if self.proportion:
            kept = self.variance / (self.value * (1 - self.value))
            return value, max(0.0, value * (1 - value) * kept)
        return value, self.variance * (1 + effect) ** 2


@dataclass(frozen=True, slots=True)
class PowerPoint:
    """The power with so many customers."""

    customers: int
    days: int | None
    """Days with new customers until then; None if the history does not reach that far."""
    power: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What an experiment needs. Customers are exposed customers of all variants together."""

    experiment: str
    metric: str
    method: str
    effect: float
    """The minimum detectable effect, relative."""
    alpha: float
    """The level of one comparison."""
    power: float
    baseline: Baseline
    customers: int | None
    """None if even an infinite number would not do: the metric is always zero."""
    days: int | None
    """Days with new customers. None if the history has fewer customers than are needed."""
    window_days: int
    """Days after the last exposure until its window has closed."""
    history_days: int
    history_customers: int
    """Customers that the experiment would have had in these days, after traffic and holdout."""
    in_days: int
    """The time that `detectable` is about."""
    customers_in_days: int
    detectable: float | None
    """The relative effect that is found with the wanted power in `in_days`."""
    curve: tuple[PowerPoint, ...]

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


def baseline(measured: Measured, metric: Metric) -> Baseline:
    """Return value and variance of a metric, as the analysis would see them."""
    customers, _ = winsorise(measured.customers, [metric])
    # Both halves are the same customers: only the covariate's coefficient is wanted.
    whole = moments(customers, metric)
    arm, _, taken = adjusted_arms(whole, whole, whole)
    return Baseline(
        float(arm.value),
        float(arm.variance),
        float(taken),
        int(whole.count),
        metric.kind in _PROPORTIONS,
    )


def plan(
    experiment: Experiment,
    metric: Metric,
    history: Measured,
    first: datetime,
    days: int,
    in_days: int,
) -> Plan:
    """Say what an experiment needs.

    Args:
        experiment: variants, traffic, level, power, method and effect.
        metric: its primary metric.
        history: what `history.past_exposures` did (`measure`), all windows closed.
        first: the start of the history.
        days: its length.
        in_days: the time for which to say what is detectable.

    Returns:
        The plan. It uses the variances of both variants: the treatment changes its own.
    """
    base = baseline(history, metric)
    arrivals = _arrivals(history.customers, experiment, first, days)
    effect = experiment.minimum_detectable_effect
    needed = customers_needed(experiment, base, effect)
    available = int(arrivals[min(in_days, days) - 1]) if days else 0
    return Plan(
        experiment=experiment.name,
        metric=metric.name,
        method=str(experiment.method),
        effect=effect,
        alpha=experiment.alpha / experiment.comparisons,
        power=experiment.power,
        baseline=base,
        customers=needed,
        days=_days(arrivals, needed),
        window_days=metric.window_days,
        history_days=days,
        history_customers=int(arrivals[-1]) if days else 0,
        in_days=in_days,
        customers_in_days=available,
        detectable=detectable_effect(experiment, base, available),
        curve=_curve(experiment, base, arrivals, 2 * (needed or available or 1)),
    )


def customers_needed(experiment: Experiment, base: Baseline, effect: float) -> int | None:
    """Return the exposed customers of all variants that find an effect with the wanted power.

    It is enough for the smallest variant. With confidence sequences it is enough by the planned
    size; most effects are found earlier.
    """
    difference = base.value * effect
    if not difference or not math.isfinite(base.variance) or not base.variance:
        return None
    wanted = critical_value(experiment) + float(stats.norm.ppf(experiment.power))
    return math.ceil(wanted**2 * _unit_variance(experiment, base, effect) / difference**2)


def power_of(experiment: Experiment, base: Baseline, effect: float, customers: int) -> float:
    """Return the probability to find an effect with so many customers of all variants."""
    if customers < 1 or not base.variance:
        return 0.0
    error = math.sqrt(_unit_variance(experiment, base, effect) / customers)
    z, limit = base.value * effect / error, critical_value(experiment)
    return float(stats.norm.sf(limit - z) + stats.norm.cdf(-limit - z))


def detectable_effect(experiment: Experiment, base: Baseline, customers: int) -> float | None:
    """Return the smallest relative effect that is found with the wanted power; None if none is."""
    largest = LARGEST_EFFECT
    if base.proportion and base.value:
        # A proportion cannot be more than 1.
        largest = min(largest, (1 - base.value) / base.value)

    def lacking(effect: float) -> float:
        return power_of(experiment, base, effect, customers) - experiment.power

    if not base.value or not base.variance or customers < 1 or lacking(largest) < 0:
        return None
    return float(optimize.brentq(lacking, 1e-9, largest))


def critical_value(experiment: Experiment) -> float:
    """Return how many standard errors an estimate must be from zero at the planned size."""
    level = experiment.alpha / experiment.comparisons
    if experiment.method is Method.ALWAYS_VALID:
        return float(sequence_quantile(mixture_rate(level), level))
    return float(stats.norm.ppf(1 - level / 2))


def _unit_variance(experiment: Experiment, base: Baseline, effect: float) -> float:
    """Return the variance of the estimate, times the customers of all variants."""
    total = experiment.total_weight
    smallest = min(variant.weight for variant in experiment.treatments)
    _, treated = base.treated(effect)
    return base.variance * total / experiment.control.weight + treated * total / smallest


def _curve(
    experiment: Experiment, base: Baseline, arrivals: Any, largest: int
) -> tuple[PowerPoint, ...]:
    """Return the power for the planned effect with up to `largest` customers."""
    sizes = np.unique(np.linspace(largest / 40, largest, 40).astype(int))
    effect = experiment.minimum_detectable_effect
    return tuple(
        PowerPoint(size, _days(arrivals, size), power_of(experiment, base, effect, size))
        for size in map(int, sizes)
        if size > 0
    )


def _arrivals(
    customers: pl.DataFrame, experiment: Experiment, first: datetime, days: int
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return how many customers are exposed by the end of each day."""
    day = (customers["exposed_at"] - first).dt.total_days().to_numpy()
    counts = np.bincount(day[(day >= 0) & (day < days)], minlength=days)[:days]
    kept = float(experiment.traffic)
    if experiment.holdout:
        kept *= 1 - float(experiment.holdout.share)
    return np.asarray(np.cumsum(counts) * kept, dtype=np.float64)


def _days(arrivals: Sequence[float] | Any, customers: int | None) -> int | None:
    if customers is None or not len(arrivals) or arrivals[-1] < customers:
        return None
    return int(np.searchsorted(arrivals, customers)) + 1
