"""Analyse an experiment: from measured customers to a result with a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl

from customer_profiles.experimentation.compare import Capped, Question, compare, winsorise
from customer_profiles.experimentation.definition import Experiment, Method, Metric
from customer_profiles.experimentation.explore import by_day, by_segment, over_time
from customer_profiles.experimentation.measure import Measured
from customer_profiles.experimentation.result import (
    Counts,
    Decision,
    MetricResult,
    Result,
    Role,
    SampleRatio,
    VariantCount,
    Verdict,
)
from customer_profiles.experimentation.sample_ratio import SAMPLE_RATIO_ALPHA, sample_ratio
from customer_profiles.experimentation.verdict import caveats, obstacle, verdict


def analyse(
    experiment: Experiment,
    metrics: Sequence[Metric],
    measured: Measured,
    counts: Counts,
    as_of: datetime,
) -> Result:
    """Analyse an experiment.

    The level alpha is shared by Bonferroni: by all variants for the primary metric, by all
    variants and metrics for the secondary ones, by all variants and segments for the segments.
    A guardrail has the whole level, because every single one has to hold.

    Nothing but the guardrails is compared before the end of a fixed horizon. The guardrails are
    compared by confidence sequences until then, so that harm can be seen at any time.

    Args:
        experiment: the experiment.
        metrics: its metrics, the primary one first (`metrics_file.metrics_of`).
        measured: its customers (`measure`).
        counts: what became of its exposures (`first_exposures`).
        as_of: the time of the newest event in the lake.

    Returns:
        The result. It has no effect at all if the sample ratio fails or an exposure names an
        unknown variant.
    """
    ratio = check_sample_ratio(measured.customers, experiment)
    stopped = obstacle(experiment, counts, ratio, as_of)
    ended = as_of >= experiment.end + metrics[0].window
    always = experiment.method is Method.ALWAYS_VALID
    shown = stopped is None and (always or ended)
    customers, caps = winsorise(measured.customers, metrics)
    made = _Comparisons(experiment, {metric.name: metric for metric in metrics}, customers, caps)
    result = _without_effects(experiment, stopped, counts, ratio, as_of)
    small: tuple[str, ...] = ()
    if stopped is None:
        guarded = made.guardrails(always=always or not ended)
        firsts = made.primary(always=always) if shown else ()
        answer = verdict(experiment, firsts, guarded, ended=ended)
        result = replace(result, verdict=answer, primary=firsts, guardrails=guarded)
    if shown:
        result, small = _explored(result, made, metrics[0], measured, always=always)
    said = caveats(experiment, metrics, customers, counts, ratio, small, shown=shown)
    return replace(result, caveats=said)


def _without_effects(
    experiment: Experiment,
    stopped: Verdict | None,
    counts: Counts,
    ratio: SampleRatio,
    as_of: datetime,
) -> Result:
    """Return a result before anything is compared."""
    return Result(
        experiment=experiment.name,
        as_of=as_of,
        method=str(experiment.method),
        alpha=experiment.alpha,
        planned_customers=experiment.planned_customers,
        verdict=stopped or Verdict(Decision.RUNNING, ""),
        counts=counts,
        sample_ratio=ratio,
    )


def _explored(
    result: Result, made: _Comparisons, primary: Metric, measured: Measured, *, always: bool
) -> tuple[Result, tuple[str, ...]]:
    """Add what is no part of the verdict; also return the segments that are too small."""
    experiment, customers, cap = made.experiment, made.customers, made.caps[primary.name]
    segments, small = by_segment(customers, experiment, primary, cap, always=always)
    explored = replace(
        result,
        secondary=made.secondary(always=always),
        segments=segments,
        novelty=by_day(measured.days, customers, experiment, primary),
        over_time=over_time(customers, experiment, primary, cap, result.as_of),
    )
    return explored, small


@dataclass(frozen=True, slots=True)
class _Comparisons:
    """The comparisons of all variants with the control, by role."""

    experiment: Experiment
    metrics: dict[str, Metric]
    customers: pl.DataFrame
    caps: dict[str, Capped]

    def primary(self, *, always: bool) -> tuple[MetricResult, ...]:
        names = [self.experiment.primary]
        return self._all(Role.PRIMARY, names, self.experiment.comparisons, always)

    def secondary(self, *, always: bool) -> tuple[MetricResult, ...]:
        names = self.experiment.secondary
        comparisons = self.experiment.comparisons * len(names)
        return self._all(Role.SECONDARY, names, comparisons, always)

    def guardrails(self, *, always: bool) -> tuple[MetricResult, ...]:
        names = [guardrail.metric for guardrail in self.experiment.guardrails]
        return self._all(Role.GUARDRAIL, names, 1, always)

    def _all(
        self, role: Role, names: Sequence[str], comparisons: int, always: bool
    ) -> tuple[MetricResult, ...]:
        return tuple(
            compare(
                self.customers,
                self.experiment,
                self.metrics[name],
                Question(role, variant.name, comparisons, always),
                self.caps[name],
            )
            for name in names
            for variant in self.experiment.treatments
        )


def check_sample_ratio(customers: pl.DataFrame, experiment: Experiment) -> SampleRatio:
    """Check whether the variants have their shares of the analysed customers."""
    by_variant = dict(customers["variant"].value_counts().iter_rows())
    observed = [by_variant.get(variant.name, 0) for variant in experiment.variants]
    expected, p = sample_ratio(observed, [variant.weight for variant in experiment.variants])
    p_value = float(p) if sum(observed) else None
    counts = tuple(
        VariantCount(variant.name, count, float(share))
        for variant, count, share in zip(experiment.variants, observed, expected, strict=True)
    )
    return SampleRatio(counts, p_value, p_value is None or p_value >= SAMPLE_RATIO_ALPHA)
