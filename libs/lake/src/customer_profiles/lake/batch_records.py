"""The records of the batch log, and the JSON that each is stored as."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from customer_profiles.lake.offsets import OffsetSpan


@dataclass(frozen=True, slots=True)
class Batch:
    """The plan of one micro-batch."""

    number: int
    buckets: int
    """The number of buckets in the lake."""
    ranges: Mapping[int, OffsetSpan]
    """The offsets of each partition."""
    topic_id: str | None = None
    """Kafka's id of the topic that the offsets belong to; None in plans of old versions."""
    planned_by: Mapping[str, Any] | None = None
    """The run that planned it (`lake.runs`); None in plans of old versions."""

    def to_json(self) -> dict[str, Any]:
        """Return the content of the plan's object."""
        ranges = {str(partition): list(span) for partition, span in self.ranges.items()}
        content = {"batch": self.number, "buckets": self.buckets, "ranges": ranges}
        notes = {"topic_id": self.topic_id, "planned_by": self.planned_by}
        return content | {name: note for name, note in notes.items() if note is not None}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Batch:
        """Read the content of a plan's object."""
        ranges = {
            int(partition): (int(start), int(end))
            for partition, (start, end) in content["ranges"].items()
        }
        notes = content.get("topic_id"), content.get("planned_by")
        return cls(int(content["batch"]), int(content["buckets"]), ranges, *notes)


@dataclass(frozen=True, slots=True)
class LandedBatch:
    """What a micro-batch brought into the lake."""

    events: int
    invalid_messages: int
    events_by_bucket: Mapping[int, int]
    """The buckets that got events, and how many."""
    oldest_ms: int | None = None
    """When the first message was produced, in milliseconds since 1970; None without messages."""
    files: Mapping[int, tuple[int, str]] = field(default_factory=dict)
    """Size in bytes and ETag of each bucket's data file; empty for a commit of 0.2."""

    def to_json(self) -> dict[str, Any]:
        """Return the content of the commit's object."""
        counts = {f"{bucket:02d}": count for bucket, count in sorted(self.events_by_bucket.items())}
        files = {f"{bucket:02d}": list(file) for bucket, file in sorted(self.files.items())}
        content = {
            "events": self.events,
            # An older word for invalid messages. It is part of the stored format.
            "misfits": self.invalid_messages,
            "events_by_bucket": counts,
            "files": files,
        }
        return content | ({"oldest_ms": self.oldest_ms} if self.oldest_ms is not None else {})

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> LandedBatch:
        """Read the content of a commit's object; those of 0.2 do not have `oldest_ms`."""
        counts = content["events_by_bucket"].items()
        files = content.get("files", {}).items()
        return cls(
            events=int(content["events"]),
            invalid_messages=int(content["misfits"]),
            events_by_bucket={int(bucket): int(count) for bucket, count in counts},
            oldest_ms=None if (oldest := content.get("oldest_ms")) is None else int(oldest),
            files={int(bucket): (int(size), str(etag)) for bucket, (size, etag) in files},
        )


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the log says about all batches up to one."""

    through_batch: int = 0
    buckets: int = 0
    next_offsets: Mapping[int, int] = field(default_factory=dict)
    changed_buckets: frozenset[int] = frozenset()
    events_by_bucket: Mapping[int, int] | None = field(default_factory=dict)
    """The stored events of each bucket in these batches. None where version 0.2 made the first
    checkpoint, which did not count them."""
    topic_id: str | None = None
    """Kafka's id of the topic that `next_offsets` belong to."""

    def to_json(self) -> dict[str, Any]:
        """Return the content of the checkpoint's object."""
        offsets = {str(partition): offset for partition, offset in self.next_offsets.items()}
        content: dict[str, Any] = {
            "through_batch": self.through_batch,
            "buckets": self.buckets,
            "next_offsets": offsets,
            "touched": sorted(self.changed_buckets),
        }
        if self.events_by_bucket is not None:
            counts = sorted(self.events_by_bucket.items())
            content["events_by_bucket"] = {f"{bucket:02d}": count for bucket, count in counts}
        return content | ({"topic_id": self.topic_id} if self.topic_id else {})

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Checkpoint:
        """Read the content of the checkpoint's object."""
        offsets = content["next_offsets"].items()
        counts = content.get("events_by_bucket")
        return cls(
            through_batch=int(content["through_batch"]),
            buckets=int(content["buckets"]),
            next_offsets={int(partition): int(offset) for partition, offset in offsets},
            changed_buckets=frozenset(map(int, content["touched"])),
            events_by_bucket=None
            if counts is None
            else {int(bucket): int(count) for bucket, count in counts.items()},
            topic_id=content.get("topic_id"),
        )


def add_up(
    counts: Mapping[int, int] | None, landed: Iterable[Mapping[int, int]]
) -> dict[int, int] | None:
    """Add the events of some batches to those of a checkpoint, by bucket."""
    if counts is None:
        return None
    total = Counter(counts)
    for events_by_bucket in landed:
        total.update(events_by_bucket)
    return dict(total)
