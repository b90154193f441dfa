"""The manifest: what the lake should hold, as far as a run knew when it ended.

The driver keeps it as one object, `_state/manifest.json`, beside `_state/profiles.json`. For every
bucket it names the live data files with their events, and the profiles and event counts.

Objects may be newer than the manifest: a task can succeed while its driver is killed. `check`
compares a lake with its manifest and accepts such objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from customer_profiles.lake.layout import MANIFEST
from customer_profiles.lake.object_store import ObjectStore

FORMAT = 1


@dataclass(frozen=True, slots=True)
class EventFile:
    """One live data file of a bucket."""

    name: str
    first_batch: int
    last_batch: int
    events: int
    size: int
    """Bytes."""
    etag: str

    def to_json(self) -> list[Any]:
        """Return the file as it is stored: a list, because a lake may have thousands of files."""
        return [
            self.name,
            self.first_batch,
            self.last_batch,
            self.events,
            self.size,
            self.etag,
        ]


@dataclass(frozen=True, slots=True)
class BucketObject:
    """The profiles or the event counts of a bucket."""

    through_batch: int
    rows: int
    """Customers, or counts."""
    written: str
    """When the run began that wrote the object; ISO 8601, UTC. Empty for an object of 0.2."""
    etag: str

    def to_json(self) -> list[Any]:
        """Return the object's record as it is stored."""
        return [self.through_batch, self.rows, self.written, self.etag]


@dataclass(frozen=True, slots=True)
class BucketManifest:
    """What one bucket consists of."""

    through_batch: int
    """The newest micro-batch that the files include."""
    files: tuple[EventFile, ...]
    """The live data files up to that batch, oldest first."""
    profiles: BucketObject | None
    """None before the bucket's first profiles."""
    counts: BucketObject | None
    """None where a version before event counts wrote the profiles."""

    @property
    def events(self) -> int:
        """The stored events up to `through_batch`; an event that was sent twice counts twice."""
        return sum(file.events for file in self.files)

    def with_merged(self, merged: EventFile) -> Self:
        """Return the bucket after compaction has written a file that replaces others."""
        files = (
            file
            for file in self.files
            if not (merged.first_batch <= file.first_batch <= file.last_batch <= merged.last_batch)
        )
        ordered = sorted((*files, merged), key=lambda file: file.first_batch)
        return replace(self, files=tuple(ordered))

    def to_json(self) -> dict[str, Any]:
        """Return the bucket's part of the object."""
        return {
            "through_batch": self.through_batch,
            "files": [file.to_json() for file in self.files],
            "profiles": self.profiles.to_json() if self.profiles else None,
            "counts": self.counts.to_json() if self.counts else None,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read the bucket's part of the object."""
        profiles, counts = content["profiles"], content["counts"]
        return cls(
            through_batch=content["through_batch"],
            files=tuple(EventFile(*values) for values in content["files"]),
            profiles=BucketObject(*profiles) if profiles else None,
            counts=BucketObject(*counts) if counts else None,
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the lake should hold."""

    through_batch: int = 0
    """The newest committed micro-batch when the manifest was saved."""
    buckets: int = 0
    """The number of buckets in the lake; 0 before the first batch."""
    next_offsets: Mapping[int, int] = field(default_factory=dict)
    """By partition, the first offset after `through_batch`."""
    by_bucket: Mapping[int, BucketManifest] = field(default_factory=dict)
    """Only buckets that a run of this version has brought up to date."""
    topic_id: str | None = None
    """Kafka's id of the topic that the offsets belong to; None if unknown."""

    def to_json(self) -> dict[str, Any]:
        """Return the object's content."""
        return {
            "format": FORMAT,
            "through_batch": self.through_batch,
            "buckets": self.buckets,
            "topic_id": self.topic_id,
            "next_offsets": {str(key): value for key, value in self.next_offsets.items()},
            "by_bucket": {
                f"{bucket:02d}": entry.to_json() for bucket, entry in self.by_bucket.items()
            },
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read the object's content."""
        return cls(
            through_batch=int(content["through_batch"]),
            buckets=int(content["buckets"]),
            next_offsets={int(key): int(value) for key, value in content["next_offsets"].items()},
            by_bucket={
                int(bucket): BucketManifest.from_json(entry)
                for bucket, entry in content["by_bucket"].items()
            },
            topic_id=content["topic_id"],
        )

    @classmethod
    def load(cls, store: ObjectStore) -> Self | None:
        """Read the manifest; None for a lake of 0.2, which has none.

        Raises:
            DamagedObjectError: the object is not what was written.
        """
        return store.get_record(MANIFEST, cls.from_json)

    def save(self, store: ObjectStore) -> None:
        """Write the manifest to the lake."""
        store.put_json(MANIFEST, self.to_json())
