"""What landing needs of Kafka, and what it reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from customer_profiles.lake.exposures import ExposureCounts
from customer_profiles.lake.offsets import OffsetSpan


class Messages(NamedTuple):
    """Consecutive messages of one partition."""

    offsets: list[int]
    values: list[bytes | None]


class ExposureTopic(Protocol):
    """What landing needs of Kafka. `exposure_topic.KafkaExposures` has it."""

    def state(self) -> tuple[str | None, dict[int, OffsetSpan]]:
        """Return the topic's id and each partition's first offset and end."""

    def read(self, partition: int, start: int, end: int) -> Iterator[Messages]:
        """Read all messages of a range."""

    def publish_dead_letters(self, letters: list[tuple[str, str]], *, again: bool) -> None:
        """Publish keys and values; with `again`, only those that are not there yet."""


@dataclass(slots=True)
class LandingReport:
    """What a run has landed."""

    counts: ExposureCounts = field(default_factory=ExposureCounts)
    batches: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Dead letters by reason. A message may have several."""
    examples: list[str] = field(default_factory=list)
    """`partition/offset: why`, of the first dead letters."""
    lost: int = 0
    """Offsets that the topic removed before they were read."""
    new_topic: bool = False
    """Whether the topic was made anew. It is read from its start; repeats are duplicates."""
    total: ExposureCounts = field(default_factory=ExposureCounts)
    """Of all runs."""

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            **self.counts.to_json(),
            "batches": self.batches,
            "reasons": dict(self.reasons),
            "examples": self.examples,
            "lost": self.lost,
            "new_topic": self.new_topic,
            "total": self.total.to_json(),
        }
