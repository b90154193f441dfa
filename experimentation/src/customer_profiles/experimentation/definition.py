"""What an experiment is. `experiment_file` reads it from `experiments/NAME.toml`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum


class Method(StrEnum):
    """How the primary metric is judged. The file chooses before the experiment starts."""

    FIXED_HORIZON = "fixed_horizon"
    """One look, after the end. Welch's t-test."""
    ALWAYS_VALID = "always_valid"
    """Any number of looks at any time. A confidence sequence, about 1.55 times as wide."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One treatment. The first variant of an experiment is its control."""

    name: str
    weight: int
    """The share of the customers is this weight divided by the sum of all weights."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A field of the profile is at least, at most, or both.

    `field` is one of `profiles.segments.FIELDS`.
    """

    field: str
    at_least: Decimal | None = None
    at_most: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Eligibility:
    """Who can take part, by the profile as it is at the moment of assignment."""

    segments: tuple[str, ...] = ()
    """Names of segments. None of them means that all segments can take part."""
    conditions: tuple[Condition, ...] = ()
    """All of them have to hold."""


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A metric that must not become much worse."""

    metric: str
    tolerated_harm: float
    """The largest harm that is acceptable, relative to the control: 0.02 is 2 %."""


@dataclass(frozen=True, slots=True)
class Holdout:
    """Customers that no experiment with this salt reaches, so that all of them can be judged."""

    salt: str
    share: Decimal
    """Of all customers; above 0 and below 1."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment as its file declares it. Times are in UTC."""

    name: str
    """The name of the file without `.toml`."""
    hypothesis: str
    salt: str
    """The variant of a customer follows from SHA-256 of `salt:user_id`."""
    layer: str
    """Experiments of one layer exclude each other. Their ranges in the layer are disjoint."""
    layer_start: Decimal
    """Where the range in the layer starts, from 0 to 1. It never changes."""
    traffic: Decimal
    """The share of all customers, and the length of the range. It may be raised."""
    start: datetime
    end: datetime
    variants: tuple[Variant, ...]
    eligible: Eligibility
    primary: str
    """The name of a metric, as are those of `secondary` and `guardrails`."""
    secondary: tuple[str, ...]
    guardrails: tuple[Guardrail, ...]
    minimum_detectable_effect: float
    """Relative to the control: 0.1 is 10 %."""
    alpha: float
    power: float
    method: Method
    planned_customers: int
    """Exposed customers of all variants that the plan asks for."""
    unit: str = "customer"
    holdout: Holdout | None = None
    """In the file: `[holdout]` with `salt` and `share`. It is fixed while the experiment runs."""

    @property
    def control(self) -> Variant:
        """The variant that all others are compared with."""
        return self.variants[0]

    @property
    def treatments(self) -> tuple[Variant, ...]:
        """All variants but the control."""
        return self.variants[1:]

    @property
    def total_weight(self) -> int:
        """The sum of the weights."""
        return sum(variant.weight for variant in self.variants)

    @property
    def metric_names(self) -> tuple[str, ...]:
        """All metrics, each once: primary, guardrails, secondary."""
        names = (self.primary, *(g.metric for g in self.guardrails), *self.secondary)
        return tuple(dict.fromkeys(names))

    @property
    def comparisons(self) -> int:
        """The number of variants that are compared with the control."""
        return len(self.variants) - 1


class Kind(StrEnum):
    """What a metric counts in the events of one customer within the window."""

    CONVERSION = "conversion"
    """1 if there is a purchase, otherwise 0."""
    REVENUE = "revenue"
    """The sum of the prices of purchases, in the currency of the prices."""
    ORDERS = "orders"
    """The number of purchases, as `total_purchases` of the profile counts them."""
    AVERAGE_ORDER_VALUE = "average_order_value"
    """All customers' revenue divided by all customers' orders."""
    SESSIONS = "sessions"
    """The number of different sessions."""
    RETENTION = "retention"
    """1 if there is any event, otherwise 0."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as `experiments/metrics.toml` declares it."""

    name: str
    kind: Kind
    window_days: int
    """The window ends this many days after the first exposure; that moment is outside."""
    from_days: int = 0
    """The window starts this many days after the first exposure."""
    covariate_days: int = 28
    """How far before the first exposure the covariate reaches; 0 for no covariate."""
    higher_is_better: bool = True
    cap: float | None = None
    """A customer's value counts as this much at most."""
    winsorise: float | None = None
    """A customer's value counts as this quantile of all positive values at most."""

    @property
    def window(self) -> timedelta:
        """From the first exposure to the end of the window."""
        return timedelta(days=self.window_days)

    @property
    def is_ratio(self) -> bool:
        """Whether the metric is a ratio of two sums, and needs the delta method."""
        return self.kind is Kind.AVERAGE_ORDER_VALUE
