"""What a check has found, in the form that `repair` works from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.lake.findings import Finding
from customer_profiles.lake.layout import MANIFEST, STATE
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.offsets import OffsetSpan
from customer_profiles.processing.integrity.batches import Horizon
from customer_profiles.processing.integrity.survey import Survey
from customer_profiles.profiles.segments import Segments
from customer_profiles.search.contents import IndexContents
from customer_profiles.search.metrics_indices import MetricsIndices
from customer_profiles.search.profile_index import IndexRef, ProfileIndex

Progress = Callable[[str, int, int], None]
"""Is told the step, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Servers:
    """The clients and rules of a check; made once, at the entry point."""

    store: ObjectStore
    kafka: KafkaConfig
    index: ProfileIndex
    contents: IndexContents
    metrics: MetricsIndices
    segments: Segments
    buckets: int
    """The number of buckets in the settings."""


@dataclass(frozen=True, slots=True)
class TopicView:
    """What is known of `raw_events`."""

    offsets: Mapping[int, OffsetSpan] = field(default_factory=dict)
    """By partition, the first offset and the one after the last; empty if it cannot be asked."""
    topic_id: str | None = None
    usable: bool = False
    """Whether it is the topic from which the lake was filled."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The findings of a check, and what follows from them."""

    survey: Survey
    reach: Horizon
    topic: TopicView
    live_index: IndexRef | None
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    """What is no damage, but explains what was not checked."""
    log: bool = False
    """The batch log has to be written anew."""
    state: bool = False
    """State and manifest have to be written anew."""
    events: frozenset[int] = frozenset()
    """Buckets whose event files have to be written anew."""
    tables: frozenset[int] = frozenset()
    """Buckets whose profiles and counts have to be computed again."""
    documents: frozenset[int] = frozenset()
    """Buckets whose profiles have to be indexed again."""
    new_index: bool = False
    """The index cannot be mended; another one has to be filled."""
    event_counts: bool = False
    """The index of event counts has to be filled again."""
    dead_letters: bool = False
    """The dead letters of the topic have to be counted from its beginning."""
    rejected_rows: bool = False
    """The index of rejected rows has to be filled again."""
    statistics: frozenset[int] = frozenset()
    """Micro-batches whose statistics of data quality have to be counted again; 0: their sum."""

    @property
    def last_profiled(self) -> int:
        """The newest batch that profiles may include; later ones wait for a decision."""
        quarantine = self.survey.quarantine
        last = self.reach.last_batch
        return quarantine.last_profiled(last) if quarantine else last

    @property
    def damaged_notes(self) -> list[str]:
        """Damaged objects of the state from which nothing is rebuilt: the next run writes them."""
        return sorted(
            name
            for name in self.survey.damaged
            if name.startswith("_state/") and name not in (STATE, MANIFEST)
        )

    def with_findings(self, findings: Iterable[Finding], **changes: Any) -> Diagnosis:
        """Add findings, leaving out objects that have one already, and change other fields."""
        known = {(finding.object, finding.bucket) for finding in self.findings}
        new = []
        for finding in findings:
            key = finding.object, finding.bucket
            if key not in known:
                known.add(key)
                new.append(finding)
        return replace(self, findings=(*self.findings, *new), **changes)

    def with_note(self, note: str) -> Diagnosis:
        """Add a note."""
        return replace(self, notes=(*self.notes, note))
