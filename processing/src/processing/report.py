"""What a run did, for people and for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Report:
    """Counts of one run, and what all profiles add up to."""

    events_landed: int = 0
    misfits: int = 0
    batches: int = 0
    profiles_updated: int = 0
    profiles_indexed: int = 0
    index_error: str | None = None
    """Why the index is behind the lake; the next run catches up."""
    objects_joined: int = 0
    """Small objects of events that became larger ones."""
    events: int = 0
    """Events in profiles: each event once, whatever was sent twice."""
    customers: int = 0
    event_types: dict[str, int] = field(default_factory=dict)
    purchases: int = 0
    revenue: str = "0.00"
    average_customer_value: str = "0.00"
    segments: dict[str, int] = field(default_factory=dict)
    segment_shares: dict[str, float] = field(default_factory=dict)
    """Of all customers."""
    outdated_segments: int = 0
    """Customers whose segment comes from another version of the rules."""
    seconds: float = 0.0
    events_per_second: float = 0.0
    seconds_by_stage: dict[str, float] = field(default_factory=dict)

    def add_totals(self, parts: Iterable[Mapping[str, Any]], segments_version: int) -> None:
        """Take over what the profiles of all buckets add up to."""
        sums: Counter[str] = Counter()
        segments: Counter[str] = Counter()
        versions: Counter[str] = Counter()
        for part in parts:
            segments.update(part["segments"])
            versions.update(part["segments_versions"])
            sums.update({name: number for name, number in part.items() if isinstance(number, int)})
        if not sums:
            return
        self.events = sums["total_events"]
        self.customers = sums["customers"]
        self.purchases = sums["total_purchases"]
        known = sums["total_product_views"] + sums["total_cart_additions"] + sums["total_purchases"]
        self.event_types = {
            "view": sums["total_product_views"],
            "cart": sums["total_cart_additions"],
            "remove_from_cart": sums["total_events"] - known,
            "purchase": sums["total_purchases"],
        }
        cents = sums["revenue_cents"]
        self.revenue = _money(cents)
        self.average_customer_value = (
            _money((2 * cents + self.customers) // (2 * self.customers)) if self.customers else "0.00"
        )
        self.outdated_segments = versions.total() - versions[str(segments_version)]
        self.segments = dict(sorted(segments.items(), key=lambda item: (-item[1], item[0])))
        self.segment_shares = {name: round(count / self.customers, 4) for name, count in self.segments.items()}

    def write(self, folder: Path) -> Path:
        """Leave the report as `process-latest.json`; returns its path."""
        return replace_json(folder / "process-latest.json", asdict(self))


def replace_json(path: Path, value: Mapping[str, Any]) -> Path:
    """Write a file at once, so that a reader sees the old one or the new one; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(value, indent=2) + "\n")
    beside.replace(path)
    return path


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
