"""The checks that exist, and what a contract sets of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import log

from customer_profiles.quality.baseline import Kind, Sensitivity
from customer_profiles.quality.findings import Severity

TOPIC, LAKE = "raw_events", "data_lake"
"""The data sets of the contract."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What a check measures."""

    dataset: str
    kind: Kind
    unit: str
    """`rows`, `percent`, `price`, `events`, `hours` and the like."""
    text: str
    """What the value is, for messages; `{field}` stands for the field."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """Limits that are set by hand."""

    low: float | None = None
    high: float | None = None

    def allows(self, value: float) -> bool:
        """Tell whether a value is within the limits; the limits themselves are."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the contract: a limit by hand, or a baseline that is learned."""

    name: str
    severity: Severity = Severity.WARN
    learned: Sensitivity | None = None
    threshold: Threshold | None = None
    fields: frozenset[str] | None = None
    """The fields that it is about; None for all."""

    @property
    def measure(self) -> Measure:
        """What it measures."""
        return MEASURES[self.name]


MEASURES: dict[str, Measure] = {
    "volume": Measure(TOPIC, Kind.COUNT, "rows", "rows"),
    "source_volume": Measure(TOPIC, Kind.COUNT, "rows", "rows of the source"),
    "null_share": Measure(TOPIC, Kind.SHARE, "percent", "rows without {field}"),
    "event_type_share": Measure(TOPIC, Kind.SHARE, "percent", "events of type {field}"),
    "late_share": Measure(TOPIC, Kind.SHARE, "percent", "rows that came late"),
    "unknown_share": Measure(TOPIC, Kind.SHARE, "percent", "rows with a {field} never seen before"),
    "rejected_share": Measure(TOPIC, Kind.SHARE, "percent", "rows rejected for {field}"),
    "clock_shift": Measure(TOPIC, Kind.COUNT, "hours", "hours by which the day is moved"),
    "price_median": Measure(TOPIC, Kind.COUNT, "price", "median price"),
    "price_tail": Measure(TOPIC, Kind.COUNT, "price", "99th percentile of prices"),
    "category_price_median": Measure(TOPIC, Kind.COUNT, "price", "median price in {field}"),
    "freshness": Measure(TOPIC, Kind.COUNT, "hours", "hours since rows arrived"),
    "repeated_share": Measure(LAKE, Kind.SHARE, "percent", "events that are stored again"),
    "customer_events": Measure(LAKE, Kind.COUNT, "events", "events of one customer"),
    "customers": Measure(LAKE, Kind.COUNT, "customers", "customers"),
    "sessions_per_customer": Measure(LAKE, Kind.COUNT, "sessions", "sessions per customer"),
    "new_customer_share": Measure(LAKE, Kind.SHARE, "percent", "customers who are new"),
    "conversion": Measure(LAKE, Kind.SHARE, "percent", "customers who bought"),
    "revenue": Measure(LAKE, Kind.COUNT, "amount", "revenue"),
    "profile_sums": Measure(LAKE, Kind.COUNT, "events", "events that profiles and lake differ by"),
}
"""All checks, by name."""

HOLDABLE = (
    "null_share",
    "event_type_share",
    "unknown_share",
    "late_share",
    "price_median",
    "price_tail",
    "category_price_median",
)
"""The checks that can hold a micro-batch back: what its rows say without the rest of their day, and
without profiles."""


def _count(min_ratio: float, floor: float, **more: float | bool) -> Sensitivity:
    return Sensitivity(Kind.COUNT, log(min_ratio), floor, **more)  # type: ignore[arg-type]


def _share(min_effect: float, floor: float, **more: float | bool) -> Sensitivity:
    return Sensitivity(Kind.SHARE, min_effect, floor, **more)  # type: ignore[arg-type]


DEFAULT_CHECKS: tuple[Check, ...] = (
    Check("volume", Severity.FAIL, _count(1.25, 0.06, sigmas=3.5, fails_below=0.65)),
    Check("source_volume", Severity.FAIL, _count(1.6, 0.12, fails_below=0.4)),
    Check("null_share", Severity.FAIL, _share(0.05, 0.01, noise=3)),
    Check("event_type_share", Severity.WARN, _share(0.008, 0.002, noise=1)),
    Check("unknown_share", Severity.WARN, _share(0.05, 0.01, noise=3, only_above=True)),
    Check("rejected_share", Severity.FAIL, _share(0.01, 0.002, noise=3, only_above=True)),
    Check("price_median", Severity.FAIL, _count(1.15, 0.03)),
    Check("price_tail", Severity.FAIL, _count(1.5, 0.1)),
    Check("category_price_median", Severity.WARN, _count(1.6, 0.1, noise=3)),
    Check("late_share", Severity.WARN, threshold=Threshold(high=0.05)),
    Check("clock_shift", Severity.FAIL, threshold=Threshold(low=-0.4, high=0.4)),
    Check("repeated_share", Severity.WARN, threshold=Threshold(high=0.05)),
    Check("customer_events", Severity.WARN, _count(4, 0.2, only_above=True)),
    Check("profile_sums", Severity.FAIL, threshold=Threshold(low=0, high=0)),
    Check("freshness", Severity.WARN, threshold=Threshold(high=26)),
    Check("customers", Severity.WARN, _count(1.3, 0.06)),
    Check("sessions_per_customer", Severity.WARN, _count(1.1, 0.01)),
    Check("new_customer_share", Severity.WARN, _share(0.1, 0.01, noise=3)),
    Check("conversion", Severity.WARN, _share(0.02, 0.004, noise=2)),
    Check("revenue", Severity.WARN, _count(2, 0.15, noise=6)),
)


def by_name(checks: Iterable[Check]) -> Mapping[str, Check]:
    """Return checks by name."""
    return {check.name: check for check in checks}
