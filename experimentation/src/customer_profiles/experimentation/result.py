"""What an analysis says. Every number that a report shows is here, as plain JSON values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any


class Decision(StrEnum):
    """The verdict in one word. `Verdict.text` says it in a sentence."""

    NOT_STARTED = "not_started"
    NO_EXPOSURES = "no_exposures"
    SAMPLE_RATIO_FAILS = "sample_ratio_fails"
    UNKNOWN_VARIANT = "unknown_variant"
    """Exposures name a variant that the file does not have."""
    RUNNING = "running"
    """A fixed horizon before its end, or windows that are still open."""
    BETTER = "better"
    WORSE = "worse"
    GUARDRAIL_HARMED = "guardrail_harmed"
    """A guardrail is worse than tolerated, whatever the primary metric says."""
    NO_DIFFERENCE_SHOWN = "no_difference_shown"


class Role(StrEnum):
    """Why a metric is in the experiment."""

    PRIMARY = "primary"
    SECONDARY = "secondary"
    GUARDRAIL = "guardrail"
    SEGMENT = "segment"
    """The primary metric among the customers of one segment. Exploratory."""


class GuardrailState(StrEnum):
    """What the interval of a guardrail says about the tolerated harm."""

    HARMED = "harmed"
    """The whole interval is worse than tolerated."""
    SAFE = "safe"
    """The whole interval is better than the tolerated harm."""
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class VariantCount:
    """Exposed customers of one variant, and how many the weights lead us to expect."""

    variant: str
    customers: int
    expected: float


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """The check whether the variants have the shares of customers that they should have."""

    counts: tuple[VariantCount, ...]
    p_value: float | None
    """Of a χ² test. None without exposures."""
    ok: bool
    """False if `p_value` < 0.001."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of all exposures. Customers that are left out are counted once, by first reason.

    `exposures` = those of customers in all other fields together with their repeats.
    """

    exposures: int
    """All exposure events."""
    customers: int
    """All customers with an exposure = analysed + all those that are left out."""
    analysed: int
    """Customers in the sample ratio and, once their window has closed, in the estimates."""
    repeats: int
    """Exposures of analysed customers after their first one. They change nothing."""
    in_two_variants: int
    before_start: int
    """Customers with an exposure before the start. Their later ones do not count either."""
    after_end: int
    """Customers who were exposed only from the end on."""
    erased: int
    """Customers of whom the lake has nothing: erased, or their events are still to be processed."""
    unknown_variant: int
    """Customers with an exposure to a variant that the file does not have."""
    assigned: int | None = None
    """Eligible customers who have a variant, exposed or not. None if nobody counted them."""

    @property
    def dilution(self) -> float | None:
        """The share of assigned customers who were not exposed."""
        return None if not self.assigned else max(0.0, 1 - self.customers / self.assigned)


@dataclass(frozen=True, slots=True)
class Interval:
    """An effect with its confidence interval. None where a number does not exist."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class MetricResult:
    """One metric of one variant against the control."""

    metric: str
    role: Role
    variant: str
    segment: str | None
    control_customers: int
    treatment_customers: int
    """Customers whose window has closed."""
    control: float | None
    treatment: float | None
    """The metric of the variant, adjusted by the covariate if there is one."""
    absolute: Interval
    relative: Interval
    """0.1 is 10 % more than the control."""
    confidence: float
    """Of the two intervals: 1 - alpha / comparisons."""
    comparisons: int
    """How many comparisons share the level alpha (Bonferroni)."""
    p_value: float | None
    """Before the correction."""
    adjusted_p_value: float | None
    """`p_value` times `comparisons`, at most 1. Significant if it is at most alpha."""
    significant: bool
    always_valid: bool
    """Whether interval and p-value hold at any time of looking."""
    variance_reduction: float | None
    """The share of the variance that the covariate takes away. None without a covariate."""
    cap: float | None
    """Values count as this much at most. None for no winsorisation."""
    capped_customers: int
    better: bool | None
    """Whether the effect points to the good side. None if it is zero or unknown."""
    tolerated_harm: float | None = None
    guardrail: GuardrailState | None = None


@dataclass(frozen=True, slots=True)
class DayEffect:
    """The effect on one day after the exposure, among customers whose window has closed."""

    variant: str
    day: int
    """0 for the first 24 hours after the exposure."""
    absolute: Interval
    control: float | None
    treatment: float | None


@dataclass(frozen=True, slots=True)
class Look:
    """The primary metric as a look at the end of a day (UTC) would have shown it.

    Always a confidence sequence, so that reading many of them is safe.
    """

    day: date
    result: MetricResult


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer."""

    decision: Decision
    text: str
    variant: str | None = None
    """The variant that the answer is about."""


@dataclass(frozen=True, slots=True)
class Result:
    """An analysis of one experiment. No effect is in it while the sample ratio fails."""

    experiment: str
    as_of: datetime
    """The time of the newest event in the lake. No clock is read."""
    method: str
    alpha: float
    planned_customers: int
    verdict: Verdict
    counts: Counts
    sample_ratio: SampleRatio
    primary: tuple[MetricResult, ...] = ()
    """One for each variant but the control."""
    guardrails: tuple[MetricResult, ...] = ()
    secondary: tuple[MetricResult, ...] = ()
    segments: tuple[MetricResult, ...] = ()
    """Exploratory."""
    novelty: tuple[DayEffect, ...] = ()
    """Exploratory."""
    over_time: tuple[Look, ...] = ()
    caveats: tuple[str, ...] = ()
    """Sentences that a reader has to know."""

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; times are ISO 8601."""
        content: dict[str, Any] = _plain(asdict(self) | {"dilution": self.counts.dilution})
        return content


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value
