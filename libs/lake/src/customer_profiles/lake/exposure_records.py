"""The records of landed exposures, and the JSON that each is stored as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from customer_profiles.lake.offsets import OffsetSpan


@dataclass(frozen=True, slots=True)
class ExposureCounts:
    """What became of messages: read = accepted + dead_lettered + duplicates."""

    read: int = 0
    accepted: int = 0
    dead_lettered: int = 0
    duplicates: int = 0

    def __add__(self, other: ExposureCounts) -> ExposureCounts:
        return ExposureCounts(
            *(getattr(self, name) + getattr(other, name) for name in self.__slots__)
        )

    @property
    def add_up(self) -> bool:
        """Whether every message is in exactly one place."""
        return self.read == self.accepted + self.dead_lettered + self.duplicates

    def to_json(self) -> dict[str, int]:
        """Return the counts by name."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class ExposurePlan:
    """A batch that is being landed."""

    ranges: Mapping[int, OffsetSpan]
    topic_id: str | None
    planned_by: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON values of the plan."""
        ranges = {str(partition): list(span) for partition, span in self.ranges.items()}
        return {"ranges": ranges, "topic_id": self.topic_id, "planned_by": dict(self.planned_by)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned."""
        ranges = {
            int(partition): (int(start), int(end))
            for partition, (start, end) in content["ranges"].items()
        }
        return cls(ranges, content["topic_id"], dict(content["planned_by"]))


@dataclass(frozen=True, slots=True)
class ExposureLog:
    """All that is known of landed exposures, and of the batch that is being landed."""

    buckets: int
    batch: int = 0
    """The newest committed batch."""
    next_offsets: Mapping[int, int] = field(default_factory=dict)
    topic_id: str | None = None
    counts: ExposureCounts = field(default_factory=ExposureCounts)
    """Of all batches."""
    lost: int = 0
    """Offsets that the topic removed before they were read."""
    plan: ExposurePlan | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the content of the log's object."""
        return {
            "buckets": self.buckets,
            "batch": self.batch,
            "next_offsets": {str(number): offset for number, offset in self.next_offsets.items()},
            "topic_id": self.topic_id,
            "counts": self.counts.to_json(),
            "lost": self.lost,
            "plan": self.plan.to_json() if self.plan else None,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read the content of the log's object."""
        return cls(
            buckets=int(content["buckets"]),
            batch=int(content["batch"]),
            next_offsets={int(key): int(value) for key, value in content["next_offsets"].items()},
            topic_id=content["topic_id"],
            counts=ExposureCounts(**content["counts"]),
            lost=int(content["lost"]),
            plan=ExposurePlan.from_json(content["plan"]) if content["plan"] else None,
        )

    def committed(self, counts: ExposureCounts) -> ExposureLog:
        """Return the log after the planned batch has been landed."""
        if self.plan is None:
            raise ValueError("no batch is planned")
        return replace(
            self,
            batch=self.batch + 1,
            next_offsets={number: end for number, (_, end) in self.plan.ranges.items()},
            topic_id=self.plan.topic_id,
            counts=self.counts + counts,
            plan=None,
        )
