"""Tasks of the land stage: read a range of offsets, write a bucket's events."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import polars as pl

from customer_profiles.contracts import BREAKS_CONTRACT, RAW_EVENTS, DeadLetter
from customer_profiles.kafka.reader import OffsetRange, read_range
from customer_profiles.lake.events import EventPartition
from customer_profiles.lake.layout import data_file_name
from customer_profiles.lake.manifest import EventFile
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.offsets import OffsetSpan
from customer_profiles.lake.parquet import to_parquet
from customer_profiles.processing.parse import InvalidMessage, parse, partition_by_bucket
from customer_profiles.processing.tasks.config import TaskConfig
from customer_profiles.quality.statistics import add_up, summarise_rows

BLOCK_EVENTS = 150_000
"""Events that a reading task collects before it passes them on."""
MAX_LETTER_BYTES = 900_000
"""The longest dead letter. Kafka takes messages of up to a million bytes."""
MAX_CUT_CHARACTERS = 100_000
"""How much of its message a dead letter keeps that would be longer."""
MAX_CUT_DETAIL = 1_000
"""How much of the explanation it keeps."""


@dataclass(frozen=True, slots=True)
class EventBlock:
    """Some events of one bucket, on their way from the task that read them."""

    bucket: int
    parquet: bytes


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What an earlier attempt wrote of a batch whose messages are gone in the meantime."""

    batch: int
    removed: Mapping[int, OffsetSpan]
    """The offsets that the topic no longer has. There is at least one."""


@dataclass(frozen=True, slots=True)
class RangeSummary:
    """What a reading task tells the driver about its range of offsets."""

    oldest_ms: int | None
    """When the first message was produced, in milliseconds since 1970; None without messages."""
    dead_letters: list[tuple[str, str]]
    """Id (`topic/partition/offset`) and JSON of each invalid message."""
    statistics: bytes = b""
    """What the rows add up to (`quality.statistics`), as Parquet; empty without rows."""


@dataclass(frozen=True, slots=True)
class LandedBucket:
    """A bucket's events of the batch are in the lake."""

    bucket: int
    events: int
    size: int
    """Bytes of the data file."""
    etag: str


def read_events(
    config: TaskConfig, groups: int, offset_range: OffsetRange
) -> Iterator[tuple[int, EventBlock | RangeSummary]]:
    """Read a range of offsets; yield its events by bucket and, at the end, its summary.

    Args:
        config: the servers.
        groups: the number of writing tasks. Task `bucket % groups` writes a bucket.
        offset_range: the offsets to read.

    Yields:
        The group that an output goes to, and the output. Group 0 passes summaries to the driver.
    """
    oldest: int | None = None
    frames: list[pl.DataFrame] = []
    dead_letters: list[tuple[str, str]] = []
    statistics: list[pl.DataFrame] = []
    for batch in read_range(config.kafka, offset_range):
        oldest = batch.first_timestamp_ms if oldest is None else oldest
        events, invalid = parse(batch.values, offset_range.partition, batch.offsets)
        frames.append(events)
        dead_letters.extend(_dead_letter(message) for message in invalid)
        if sum(frame.height for frame in frames) >= BLOCK_EVENTS:
            statistics.append(summarise_rows(pl.concat(frames)))
            yield from _by_bucket(frames, config.buckets, groups)
            frames.clear()
    if frames:
        statistics.append(summarise_rows(pl.concat(frames)))
    yield from _by_bucket(frames, config.buckets, groups)
    yield 0, RangeSummary(oldest, dead_letters, _packed(statistics))


def read_part(
    config: TaskConfig, groups: int, part: OffsetRange | Leftovers
) -> Iterator[tuple[int, EventBlock | RangeSummary]]:
    """Read what one task contributes to a batch; arguments and yields are those of `read_events`.

    Args:
        config: the servers.
        groups: the number of writing tasks.
        part: the offsets to read, or what an earlier attempt has read.
    """
    if isinstance(part, OffsetRange):
        yield from read_events(config, groups, part)
        return
    store = config.connect_lake()
    statistics: list[pl.DataFrame] = []
    for bucket in range(config.buckets):
        stored = store.get(data_file_name(bucket, part.batch))
        if stored is None:
            continue
        events = pl.read_parquet(io.BytesIO(stored.data))
        kept = pl.any_horizontal(
            (pl.col("kafka_partition") == partition)
            & pl.col("kafka_offset").is_between(start, end - 1)
            for partition, (start, end) in part.removed.items()
        )
        if (events := events.filter(kept)).height:
            statistics.append(summarise_rows(events))
            yield bucket % groups, EventBlock(bucket, to_parquet(events))
    yield 0, RangeSummary(None, [], _packed(statistics))


def _packed(statistics: list[pl.DataFrame]) -> bytes:
    return to_parquet(add_up(statistics)) if statistics else b""


def _by_bucket(
    frames: list[pl.DataFrame], buckets: int, groups: int
) -> Iterator[tuple[int, EventBlock]]:
    if not frames:
        return
    for bucket, part in partition_by_bucket(pl.concat(frames), buckets):
        # Parquet takes half the bytes of Arrow's own format. It is as fast to write and faster
        # to read.
        yield bucket % groups, EventBlock(bucket, to_parquet(part))


def _dead_letter(message: InvalidMessage) -> tuple[str, str]:
    source = f"{RAW_EVENTS.name}/{message.partition}"
    letter = DeadLetter(
        source=source,
        source_row=message.offset,
        reasons=[BREAKS_CONTRACT],
        text=message.text,
        detail=message.reason,
    )
    value = letter.to_json()
    if len(value.encode()) > MAX_LETTER_BYTES:
        note = f"cut after {MAX_CUT_CHARACTERS:,} characters of the text"
        detail = f"{message.reason[:MAX_CUT_DETAIL]} ({note})"
        value = replace(letter, text=message.text[:MAX_CUT_CHARACTERS], detail=detail).to_json()
    return f"{source}/{message.offset}", value


def write_events(
    config: TaskConfig, batch: int, outputs: Iterable[tuple[int, EventBlock | RangeSummary]]
) -> Iterator[LandedBucket | RangeSummary]:
    """Write the events of one group of buckets; pass summaries on to the driver."""
    blocks: dict[int, list[bytes]] = {}
    for _, output in outputs:
        if isinstance(output, RangeSummary):
            yield output
        else:
            blocks.setdefault(output.bucket, []).append(output.parquet)
    store = config.connect_lake()
    for bucket, parts in blocks.items():
        file = land_bucket(store, batch, bucket, parts)
        yield LandedBucket(bucket, file.events, file.size, file.etag)


def land_bucket(store: ObjectStore, batch: int, bucket: int, parts: Iterable[bytes]) -> EventFile:
    """Write one bucket's events of one batch as one object; return what was written.

    Args:
        store: the lake.
        batch: the number of the micro-batch.
        bucket: the number of the bucket.
        parts: the events as Parquet files with `EVENT_SCHEMA`.
    """
    events = pl.concat([pl.read_parquet(io.BytesIO(part)) for part in parts])
    return EventPartition(store, bucket).write(batch, events)
