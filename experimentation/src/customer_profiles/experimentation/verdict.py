"""The answer of an analysis in words, and what a reader has to know beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

import polars as pl

from customer_profiles.experimentation.definition import Experiment, Method, Metric
from customer_profiles.experimentation.result import (
    Counts,
    Decision,
    GuardrailState,
    Interval,
    MetricResult,
    SampleRatio,
    Verdict,
)

_SURE = 3.29 + 2.33
"""Standard errors of a deviation that a two-sided p < 0.001 finds 99 times out of 100."""


def obstacle(
    experiment: Experiment, counts: Counts, ratio: SampleRatio, as_of: datetime
) -> Verdict | None:
    """Return why no effect may be shown; None if nothing is in the way."""
    if as_of < experiment.start:
        return Verdict(
            Decision.NOT_STARTED,
            f"The experiment starts on {experiment.start:%Y-%m-%d %H:%M} UTC, and the newest event "
            f"is of {as_of:%Y-%m-%d %H:%M}.",
        )
    if counts.unknown_variant:
        return Verdict(
            Decision.UNKNOWN_VARIANT,
            f"{counts.unknown_variant:,} customers were exposed to a variant that the file does "
            "not have. Was a variant renamed? Give it its old name again. "
            "No effect is shown until then.",
        )
    if not counts.analysed:
        return Verdict(
            Decision.NO_EXPOSURES,
            "No customer can be analysed: there are no exposures between start and end, or all of "
            "them are left out for the reasons in the counts.",
        )
    if not ratio.ok:
        numbers = ", ".join(
            f"{item.variant} {item.customers:,} instead of {item.expected:,.0f}"
            for item in ratio.counts
        )
        return Verdict(
            Decision.SAMPLE_RATIO_FAILS,
            f"The sample ratio fails ({numbers}; p = {ratio.p_value:.1e}): customers are missing "
            "from a variant, so the rest cannot be compared. Find out where exposures get lost. "
            "No effect is shown.",
        )
    return None


def verdict(
    experiment: Experiment,
    primary: Sequence[MetricResult],
    guardrails: Sequence[MetricResult],
    *,
    ended: bool,
) -> Verdict:
    """Return the answer, from the comparisons of the primary metric and of the guardrails."""
    for item in guardrails:
        if item.guardrail is GuardrailState.HARMED:
            return Verdict(
                Decision.GUARDRAIL_HARMED,
                f"{item.variant} harms the guardrail {item.metric}: {percent(item.relative)}, "
                f"and {item.tolerated_harm:.1%} is tolerated. Stop it.",
                item.variant,
            )
    if experiment.method is Method.FIXED_HORIZON and not ended:
        return Verdict(
            Decision.RUNNING,
            "The experiment is running. A fixed horizon allows one look, after the end on "
            f"{experiment.end:%Y-%m-%d %H:%M} UTC and the last customer's window.",
        )
    found = sorted(
        (item for item in primary if item.significant),
        key=lambda item: (not item.better, -abs(item.relative.value or 0)),
    )
    if found:
        best = found[0]
        decision = Decision.BETTER if best.better else Decision.WORSE
        return Verdict(decision, _found(best, guardrails), best.variant)
    if not ended:
        return Verdict(
            Decision.RUNNING,
            f"No difference in {experiment.primary} is shown yet: {_all(primary)}. "
            "The experiment goes on; you may look again at any time.",
        )
    return Verdict(
        Decision.NO_DIFFERENCE_SHOWN,
        f"No difference in {experiment.primary} is shown: {_all(primary)}. "
        "That is no proof that there is none: the interval says what remains possible.",
    )


def caveats(
    experiment: Experiment,
    metrics: Sequence[Metric],
    customers: pl.DataFrame,
    counts: Counts,
    ratio: SampleRatio,
    small_segments: Sequence[str],
    *,
    shown: bool,
) -> tuple[str, ...]:
    """Return the sentences that a reader has to know."""
    said = [
        f"{number:,} customers {why}."
        for number, why in (
            (counts.in_two_variants, "have seen two variants and are left out"),
            (counts.before_start, "were exposed before the start and are left out"),
            (counts.after_end, "were exposed only after the end and are left out"),
            (
                counts.erased,
                "have nothing in the lake and are left out: they were erased, or their events are "
                "still to be processed",
            ),
        )
        if number
    ]
    if counts.repeats:
        said.append(f"{counts.repeats:,} repeated exposures changed nothing: the first one counts.")
    if counts.dilution:
        said.append(
            f"{counts.dilution:.1%} of the {counts.assigned:,} assigned customers were never "
            "exposed. The effect is that on exposed customers."
        )
    if ratio.p_value is not None:
        said.append(_sensitivity(experiment, counts))
    for metric in metrics:
        waiting = customers[metric.name].null_count()
        if waiting:
            days = f"{metric.window_days} days"
            said.append(f"{metric.name}: the window of {days} is open for {waiting:,} customers.")
    if shown and counts.analysed < experiment.planned_customers:
        said.append(
            f"{counts.analysed:,} customers of the {experiment.planned_customers:,} planned ones: "
            f"an effect of {experiment.minimum_detectable_effect:.1%} may be missed."
        )
    if small_segments:
        said.append(f"Too few customers in segments: {', '.join(small_segments)}.")
    if shown:
        said.append("Segments and days since the exposure are exploratory: plan a test of its own.")
    return tuple(said)


def percent(interval: Interval) -> str:
    """Return a relative effect with its interval: `+3.1 % (+0.2 % to +6.0 %)`."""
    if interval.value is None:
        return "no relative effect, since the control is zero"
    if interval.low is None or interval.high is None:
        return f"{interval.value:+.1%}"
    return f"{interval.value:+.1%} ({interval.low:+.1%} to {interval.high:+.1%})"


def _found(item: MetricResult, guardrails: Sequence[MetricResult]) -> str:
    direction = "better" if item.better else "worse"
    text = f"{item.variant} is {direction} in {item.metric}: {percent(item.relative)}"
    text += f", p = {item.adjusted_p_value:.2g} after correction."
    undecided = [
        guardrail.metric
        for guardrail in guardrails
        if guardrail.variant == item.variant and guardrail.guardrail is GuardrailState.UNDECIDED
    ]
    if undecided:
        text += f" Harm beyond what is tolerated is not ruled out for {', '.join(undecided)}."
    return text


def _all(primary: Sequence[MetricResult]) -> str:
    return "; ".join(f"{item.variant} {percent(item.relative)}" for item in primary)


def _sensitivity(experiment: Experiment, counts: Counts) -> str:
    """Say which loss of treated customers the sample ratio surely finds."""
    share = min(variant.weight for variant in experiment.variants) / experiment.total_weight
    loss = _SURE / math.sqrt(max(1, counts.analysed) * share * (1 - share))
    if loss >= 1:
        return "There are too few customers for the sample ratio to find lost ones."
    return f"The sample ratio surely finds a loss of {loss:.1%} of a variant, not a smaller one."
