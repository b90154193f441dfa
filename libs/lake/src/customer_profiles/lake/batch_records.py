"""The records of the batch log, and the JSON that each is stored as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OffsetSpan = tuple[int, int]
"""Offsets from a start up to, but not including, an end."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The plan of one micro-batch."""

    number: int
    buckets: int
    """The number of buckets in the lake."""
    ranges: Mapping[int, OffsetSpan]
    """The offsets of each partition."""

    def to_json(self) -> dict[str, Any]:
        """Return the content of the plan's object."""
        ranges = {str(partition): list(span) for partition, span in self.ranges.items()}
        return {"batch": self.number, "buckets": self.buckets, "ranges": ranges}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Batch:
        """Read the content of a plan's object."""
        ranges = {
            int(partition): (start, end) for partition, (start, end) in content["ranges"].items()
        }
        return cls(content["batch"], content["buckets"], ranges)


@dataclass(frozen=True, slots=True)
class LandedBatch:
    """What a micro-batch brought into the lake."""

    events: int
    invalid_messages: int
    events_by_bucket: Mapping[int, int]
    """The buckets that got events, and how many."""
    oldest_ms: int | None = None
    """When the first message was produced, in milliseconds since 1970; None without messages."""

    def to_json(self) -> dict[str, Any]:
        """Return the content of the commit's object."""
        counts = {f"{bucket:02d}": count for bucket, count in sorted(self.events_by_bucket.items())}
        # "misfits" is an older word for invalid messages. It is part of the stored format.
        return {"events": self.events, "misfits": self.invalid_messages, "events_by_bucket": counts}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the log says about all batches up to one."""

    through_batch: int = 0
    buckets: int = 0
    next_offsets: Mapping[int, int] = field(default_factory=dict)
    changed_buckets: frozenset[int] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """Return the content of the checkpoint's object."""
        offsets = {str(partition): offset for partition, offset in self.next_offsets.items()}
        return {
            "through_batch": self.through_batch,
            "buckets": self.buckets,
            "next_offsets": offsets,
            "touched": sorted(self.changed_buckets),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any] | None) -> Checkpoint:
        """Read the content of the checkpoint's object; None stands for a log without one."""
        if content is None:
            return cls()
        offsets = {int(partition): offset for partition, offset in content["next_offsets"].items()}
        changed = frozenset(content["touched"])
        return cls(content["through_batch"], content["buckets"], offsets, changed)
