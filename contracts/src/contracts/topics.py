"""Topics with their partitions and retention."""

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


RAW_EVENTS = Topic("raw_events", 3, {"retention.ms": str(7 * _DAY_MS), "compression.type": "producer"})
"""Accepted events, key `user_id`, partitioned as the Java client does it (murmur2).

A week is kept: the archive is the lake, which every event reaches with the next `make process`."""

DEAD_LETTERS = Topic("raw_events_dead_letter", 1, {"retention.ms": str(30 * _DAY_MS)})
"""Rows that are no events, with their text, place and reasons."""

PROGRESS = Topic("ingest_progress", 1, {"cleanup.policy": "compact"})
"""How far each source has been ingested; key: the source."""

REPLAYED = Topic("raw_events_replayed", 1, {"cleanup.policy": "compact"})
"""Which dead letters were mended and sent again; key: `partition/offset` of the dead letter."""

TOPICS = (RAW_EVENTS, DEAD_LETTERS, PROGRESS, REPLAYED)
