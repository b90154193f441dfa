"""One metric of one variant against the control, out of the measured customers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from customer_profiles.experimentation.definition import Experiment, Metric
from customer_profiles.experimentation.measure import BEFORE, OF
from customer_profiles.experimentation.result import (
    GuardrailState,
    Interval,
    MetricResult,
    Role,
)
from customer_profiles.experimentation.statistics import (
    Effect,
    Moments,
    adjusted_arms,
    always_valid,
    fixed_horizon,
)


@dataclass(frozen=True, slots=True)
class Capped:
    """The winsorisation of a metric."""

    cap: float | None = None
    """No value counts more. None if the metric declares no winsorisation, or nobody has a value."""
    customers: int = 0
    """Customers whose value was larger."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is compared, and how strictly."""

    role: Role
    variant: str
    comparisons: int
    """How many comparisons share the level."""
    always: bool
    """Whether it must be safe to look at any time."""
    segment: str | None = None


def winsorise(
    customers: pl.DataFrame, metrics: Sequence[Metric]
) -> tuple[pl.DataFrame, dict[str, Capped]]:
    """Cap the values of metrics.

    The quantile is that of the positive values of all variants together, so that it treats all
    variants alike. Most customers have a value of zero, so a quantile of all values would cap
    every buyer. A covariate has a quantile of its own.

    Args:
        customers: as `Measured` has them.
        metrics: the metrics.

    Returns:
        The customers, and the cap of each metric.
    """
    caps: dict[str, Capped] = {}
    for metric in metrics:
        caps[metric.name] = Capped()
        if metric.cap is None and metric.winsorise is None:
            continue
        for name in (metric.name, metric.name + BEFORE):
            if name not in customers.columns:
                continue
            cap = metric.cap
            if cap is None and metric.winsorise is not None:
                values = customers[name]
                # NumPy sorts a part of the values only.
                positive = values.filter(values > 0).to_numpy()
                cap = float(np.quantile(positive, metric.winsorise)) if len(positive) else None
            if cap is not None:
                if name == metric.name:
                    caps[name] = Capped(cap, int((customers[name] > cap).sum()))
                customers = customers.with_columns(pl.col(name).clip(upper_bound=cap))
    return customers, caps


def columns_of(customers: pl.DataFrame, metric: Metric) -> list[str]:
    """Return the columns of a metric: a filter copies all columns that it is given."""
    names = (metric.name, metric.name + OF, metric.name + BEFORE, metric.name + OF + BEFORE)
    return [name for name in names if name in customers.columns]


def moments(customers: pl.DataFrame, metric: Metric) -> Moments:
    """Return the moments of the customers whose window has closed."""
    names = (metric.name, metric.name + OF, metric.name + BEFORE, metric.name + OF + BEFORE)
    closed = customers.select(columns_of(customers, metric)).filter(
        pl.col(metric.name).is_not_null()
    )
    columns = np.ones((closed.height, 4))
    for position, name in enumerate(names):
        if name in closed.columns:
            columns[:, position] = closed[name].to_numpy()
        elif position == 2:
            columns[:, position] = 0
    return Moments.from_columns(columns)


def compare(
    customers: pl.DataFrame, experiment: Experiment, metric: Metric, question: Question, cap: Capped
) -> MetricResult:
    """Compare a variant with the control.

    Args:
        customers: as `Measured` has them, winsorised.
        experiment: the experiment.
        metric: the metric.
        question: the variant, and how strictly.
        cap: the winsorisation of the metric.
    """
    own = customers.select("variant", *columns_of(customers, metric))
    control, treatment = (
        moments(own.filter(pl.col("variant") == name), metric)
        for name in (experiment.control.name, question.variant)
    )
    return compare_moments(control, treatment, experiment, metric, question, cap)


def compare_moments(
    control: Moments,
    treatment: Moments,
    experiment: Experiment,
    metric: Metric,
    question: Question,
    cap: Capped,
) -> MetricResult:
    """Compare a variant with the control, by their moments."""
    first, second, taken = adjusted_arms(control, treatment)
    level = experiment.alpha / question.comparisons
    if question.always:
        weights = {variant.name: variant.weight for variant in experiment.variants}
        pair = weights[experiment.control.name] + weights[question.variant]
        planned = experiment.planned_customers * pair / experiment.total_weight
        effect = always_valid(first, second, level, planned)
    else:
        effect = fixed_horizon(first, second, level)
    p_value = _number(effect.p_value)
    adjusted = None if p_value is None else min(1.0, p_value * question.comparisons)
    absolute = Interval(*map(_number, (effect.absolute, effect.low, effect.high)))
    if absolute.low is None:
        adjusted = p_value = None
    result = MetricResult(
        metric=metric.name,
        role=question.role,
        variant=question.variant,
        segment=question.segment,
        control_customers=int(first.count),
        treatment_customers=int(second.count),
        control=_number(first.value),
        treatment=_number(second.value),
        absolute=absolute,
        relative=_relative(effect),
        confidence=1 - level,
        comparisons=question.comparisons,
        p_value=p_value,
        adjusted_p_value=adjusted,
        significant=adjusted is not None and adjusted <= experiment.alpha,
        always_valid=question.always,
        variance_reduction=_number(taken) if metric.covariate_days else None,
        cap=cap.cap,
        capped_customers=cap.customers,
        better=_is_better(absolute.value, metric),
    )
    return _guarded(result, experiment, metric)


def _relative(effect: Effect) -> Interval:
    numbers = (effect.relative, effect.relative_low, effect.relative_high)
    return Interval(*map(_number, numbers))


def _guarded(result: MetricResult, experiment: Experiment, metric: Metric) -> MetricResult:
    """Say what a guardrail's interval means for the tolerated harm."""
    if result.role is not Role.GUARDRAIL:
        return result
    harm = next(g.tolerated_harm for g in experiment.guardrails if g.metric == metric.name)
    low, high = result.relative.low, result.relative.high
    state = GuardrailState.UNDECIDED
    if low is not None and high is not None:
        # As if higher was better: the worst and the best effect that the interval allows.
        worst, best = (low, high) if metric.higher_is_better else (-high, -low)
        if best < -harm:
            state = GuardrailState.HARMED
        elif worst > -harm:
            state = GuardrailState.SAFE
    return replace(result, tolerated_harm=harm, guardrail=state)


def _is_better(value: float | None, metric: Metric) -> bool | None:
    if not value:
        return None
    return (value > 0) == metric.higher_is_better


def _number(value: object) -> float | None:
    number = float(np.asarray(value))
    return number if math.isfinite(number) else None
