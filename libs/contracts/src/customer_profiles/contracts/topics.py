"""Kafka topics with their partitions and retention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Topic:
    """One Kafka topic as it is created."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    """Topic settings by Kafka's own names, such as `retention.ms`."""


RAW_EVENTS = Topic(
    "raw_events", 3, {"retention.ms": str(7 * _DAY_MS), "compression.type": "producer"}
)
"""Accepted events. The key is `user_id`, partitioned by murmur2 as the Java client does.

Kafka keeps a week. The lake is the archive: each run of `make process` copies new events there.
"""

DEAD_LETTERS = Topic("raw_events_dead_letter", 1, {"retention.ms": str(30 * _DAY_MS)})
"""Rows that are not events, with their text, their position and the reasons."""

PROGRESS = Topic("ingest_progress", 1, {"cleanup.policy": "compact"})
"""How far each source has been ingested. The key is the source."""

REPLAYED = Topic("raw_events_replayed", 1, {"cleanup.policy": "compact"})
"""Dead letters that were corrected and sent again. The key is the letter's `partition/offset`."""

EXPOSURES = Topic("experiment_exposures", 3, {"retention.ms": str(30 * _DAY_MS)})
"""Which customer has met which variant of an experiment. The key is `user_id`.

Kafka keeps a month. `make exposures` copies new ones into the lake.
"""

EXPOSURE_DEAD_LETTERS = Topic(
    "experiment_exposures_dead_letter", 1, {"retention.ms": str(30 * _DAY_MS)}
)
"""Messages of `experiment_exposures` that are no exposures."""

TOPICS = (RAW_EVENTS, DEAD_LETTERS, PROGRESS, REPLAYED, EXPOSURES, EXPOSURE_DEAD_LETTERS)
