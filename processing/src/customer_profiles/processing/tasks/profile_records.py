"""What the profile task is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from customer_profiles.lake.manifest import BucketManifest, EventFile
from customer_profiles.profiles.segments import Segments
from customer_profiles.search.profile_index import IndexRef

LOST = "its profiles or event counts were lost"
"""Why a bucket in `ProfileTask.restore` is computed again."""


@dataclass(frozen=True, slots=True)
class ProfileTask:
    """What a run asks of every bucket."""

    through_batch: int
    """The newest batch that has landed."""
    segments: Segments
    generated_at: datetime
    """UTC; becomes `profile_generated_at`."""
    index: IndexRef | None
    """The index to fill; None while Elasticsearch does not answer."""
    rebuild: bool = False
    """Compute all profiles again, also those without new events."""
    restore: frozenset[int] = frozenset()
    """Buckets whose profiles or event counts are lost, damaged or too old: computed again."""
    expected_events: Mapping[int, int] = field(default_factory=dict)
    """The stored events up to `through_batch` of the buckets for which they are known."""


@dataclass(frozen=True, slots=True)
class BucketResult:
    """What happened to one bucket, and what its profiles add up to."""

    bucket: int
    updated: int
    """Profiles that were computed."""
    indexed: int
    index_error: str | None
    compacted: int
    """Small data files that became one."""
    totals: dict[str, Any]
    """As `profiles.totals.totals_of` returns them; empty if `error` is set."""
    error: str | None = None
    """Why the profiles could not be built. They are as they were before the run."""
    content: BucketManifest | None = None
    """What the bucket consists of now; None if its events were not read."""
    merged: EventFile | None = None
    """The file that compaction wrote."""
    restored: str | None = None
    """Why the profiles were computed from all events although nobody asked for it."""
