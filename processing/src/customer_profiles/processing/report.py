"""What a run did, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_KEYS = {
    "invalid_messages": "misfits",
    "files_compacted": "objects_joined",
    "lagging_buckets": "unsettled",
}
"""Keys of the reports that differ from the field's name. Programs have read them since 0.1."""


@dataclass(slots=True)
class RunReport:
    """Counts of one run, and what all profiles add up to."""

    events_landed: int = 0
    invalid_messages: int = 0
    batches: int = 0
    profiles_updated: int = 0
    profiles_indexed: int = 0
    index_error: str | None = None
    """Why the index is behind the lake; the next run catches up."""
    degraded: list[str] = field(default_factory=list)
    """What is behind although the work is done: `index_behind`, `dashboards_behind`,
    `rebuild_unfinished` or `profiles_waiting`."""
    failed_buckets: dict[str, str] = field(default_factory=dict)
    """Buckets whose newest profiles could not be built, and why; the next run tries them again."""
    files_compacted: int = 0
    """Small event files that became larger ones."""
    mended: list[str] = field(default_factory=list)
    """What was lost or damaged in the lake, and was made anew from its events."""
    gaps: list[dict[str, Any]] = field(default_factory=list)
    """What was removed from the topic before it reached the lake, and is still missing."""
    waiting: list[str] = field(default_factory=list)
    """Which micro-batches wait for a decision, why, and the command that decides, in lines."""
    events: int = 0
    """Events in profiles. An event that was sent twice counts once."""
    customers: int = 0
    event_types: dict[str, int] = field(default_factory=dict)
    purchases: int = 0
    revenue: str = "0.00"
    average_customer_value: str = "0.00"
    segments: dict[str, int] = field(default_factory=dict)
    """Customers by segment, the largest first."""
    segment_shares: dict[str, float] = field(default_factory=dict)
    """Shares of all customers, 0 to 1."""
    outdated_segments: int = 0
    """Customers whose segment comes from another version of the rules."""
    seconds: float = 0.0
    events_per_second: float = 0.0
    seconds_by_stage: dict[str, float] = field(default_factory=dict)

    def add_totals(self, parts: Iterable[Mapping[str, Any]], segments_version: int) -> None:
        """Take over what the profiles of all buckets add up to.

        Args:
            parts: for each bucket, what `profiles.totals.totals_of` returns.
            segments_version: the current version of the rules.
        """
        sums: Counter[str] = Counter()
        segments: Counter[str] = Counter()
        versions: Counter[str] = Counter()
        for part in parts:
            segments.update(part["segments"])
            versions.update(part["segments_versions"])
            sums.update({name: value for name, value in part.items() if isinstance(value, int)})
        if not sums:
            return
        self.events = sums["total_events"]
        self.customers = sums["customers"]
        self.purchases = sums["total_purchases"]
        views, carts = sums["total_product_views"], sums["total_cart_additions"]
        self.event_types = {
            "view": views,
            "cart": carts,
            "remove_from_cart": self.events - views - carts - self.purchases,
            "purchase": self.purchases,
        }
        cents = sums["revenue_cents"]
        self.revenue = _money(cents)
        if self.customers:
            # Rounded half up.
            average = (2 * cents + self.customers) // (2 * self.customers)
            self.average_customer_value = _money(average)
        self.outdated_segments = versions.total() - versions[str(segments_version)]
        self.segments = dict(sorted(segments.items(), key=lambda item: (-item[1], item[0])))
        self.segment_shares = {
            name: round(count / self.customers, 4) for name, count in self.segments.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Return what `process-latest.json` has beside the fields of every report."""
        return _content(self)


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """What one micro-batch of a stream was: an entry of `stream-latest.json`."""

    batch: int
    at: str
    """When its customers were visible in the index; ISO 8601, UTC."""
    events: int
    invalid_messages: int
    customers: int
    seconds: float
    seconds_by_stage: dict[str, float]
    lag_events: int
    """Messages that were in the topic and in no batch when this one was done."""
    lag_seconds: float | None
    """From the batch's first message being produced to its customer being visible."""
    lagging_buckets: int
    """Buckets whose profiles in the lake lag behind the index."""
    error: str | None = None
    """Why the index is behind; it catches up."""

    def to_json(self) -> dict[str, Any]:
        """Return the entry of `stream-latest.json`, whose names `pipeline_runs` has, too."""
        return _content(self)


def _content(report: RunReport | MicroBatch) -> dict[str, Any]:
    return {_KEYS.get(name, name): value for name, value in asdict(report).items()}


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
