"""What the topic still has of the events that the lake should have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from customer_profiles.contracts import DEAD_LETTERS, RAW_EVENTS
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.reader import OffsetRange, read_range, split_ranges
from customer_profiles.lake.events import EVENT_SCHEMA
from customer_profiles.lake.findings import Finding, Kind, Remedy
from customer_profiles.lake.offsets import OffsetSpan
from customer_profiles.processing.integrity.spill import EventSpill
from customer_profiles.processing.integrity.survey import LogSurvey
from customer_profiles.processing.parse import parse, partition_by_bucket

TASK_OFFSETS = 50_000
"""Offsets between two steps of the progress display."""


@dataclass(frozen=True, slots=True)
class TopicCopy:
    """The events of the topic up to where the lake has it, by bucket."""

    spans: Mapping[int, OffsetSpan]
    """By partition, the offsets that the topic still has and the lake should have."""
    events: EventSpill


def shared_spans(
    offsets: Mapping[int, OffsetSpan], next_offsets: Mapping[int, int]
) -> dict[int, OffsetSpan]:
    """Return the offsets that both the topic and the lake should have.

    Args:
        offsets: by partition, the topic's first offset and the one after its last.
        next_offsets: by partition, the first offset that the lake does not have.
    """
    return {
        partition: (low, max(low, min(high, next_offsets.get(partition, 0))))
        for partition, (low, high) in offsets.items()
    }


def check_topic(
    topic_id: str | None,
    offsets: Mapping[int, OffsetSpan],
    log: LogSurvey,
    next_offsets: Mapping[int, int],
) -> list[Finding]:
    """Find out whether it is the topic from which the lake was filled, and has all of its end.

    Args:
        topic_id: the topic's id in Kafka; None if it is not known.
        offsets: by partition, the topic's first offset and the one after its last.
        log: the batch log.
        next_offsets: by partition, the first offset that the lake does not have.
    """
    if log.topic_id and topic_id and log.topic_id != topic_id:
        return [other_topic("it was deleted and made anew; the lake was filled from the old one")]
    short = [
        f"partition {partition} ends at offset {offsets.get(partition, (0, 0))[1]:,}, and the lake "
        f"has it up to {end:,}"
        for partition, end in sorted(next_offsets.items())
        if offsets.get(partition, (0, 0))[1] < end
    ]
    return [other_topic("; ".join(short))] if short else []


def other_topic(detail: str) -> Finding:
    """Return the finding for a topic that is not the one from which the lake was filled."""
    return Finding(Kind.REPLACED, f"topic {RAW_EVENTS.name}", Remedy.NEW_TOPIC, detail)


def changed_topic() -> Finding:
    """Return the finding for a topic that has other events than the lake at the same offsets."""
    detail = "it has other events at offsets that the lake has; a repair does not use it"
    return Finding(Kind.REPLACED, f"topic {RAW_EVENTS.name}", Remedy.NONE, detail)


def check_dead_letters(
    offsets: Mapping[int, OffsetSpan], counted: Mapping[str, int]
) -> list[Finding]:
    """Find out whether the topic of dead letters lost letters that are counted for the charts.

    Args:
        offsets: by partition, the topic's first offset and the one after its last.
        counted: by partition as text, the first offset that is not counted yet.
    """
    short = [
        f"partition {partition} ends at offset {offsets.get(int(partition), (0, 0))[1]:,}, and "
        f"letters up to {end:,} are counted"
        for partition, end in sorted(counted.items())
        if offsets.get(int(partition), (0, 0))[1] < end
    ]
    if not short:
        return []
    name = f"topic {DEAD_LETTERS.name}"
    return [Finding(Kind.REPLACED, name, Remedy.REPAIR, "; ".join(short))]


def copy_topic(
    config: KafkaConfig,
    spans: Mapping[int, OffsetSpan],
    buckets: int,
    folder: Path,
    progress: Callable[[str, int, int], None],
) -> TopicCopy:
    """Read the valid events of some offsets, and keep them by bucket.

    Args:
        config: where Kafka is.
        spans: the offsets of each partition.
        buckets: the number of buckets in the lake.
        folder: an empty folder for what does not fit into memory.
        progress: is told how far reading is.

    Raises:
        PipelineError: Kafka does not answer, or no longer has an offset.
    """
    spill = EventSpill(folder, EVENT_SCHEMA)
    parts = split_ranges(dict(spans), TASK_OFFSETS)
    for number, part in enumerate(parts):
        progress("topic", number, len(parts))
        for frame in _read_part(config, part):
            for bucket, events in partition_by_bucket(frame, buckets):
                spill.add(bucket, events)
    return TopicCopy(spans, spill)


def _read_part(config: KafkaConfig, part: OffsetRange) -> Iterator[pl.DataFrame]:
    for batch in read_range(config, part):
        events, _ = parse(batch.values, part.partition, batch.offsets)
        if events.height:
            yield events
