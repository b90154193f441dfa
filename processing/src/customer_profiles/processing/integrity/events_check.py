"""The stored events of one bucket: are all there, each once, as they were sent? Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from customer_profiles.lake.batch_records import Batch
from customer_profiles.lake.compaction import DataFile
from customer_profiles.lake.events import EVENT_SCHEMA
from customer_profiles.lake.findings import Finding, Kind, Remedy
from customer_profiles.lake.layout import events_prefix
from customer_profiles.lake.offsets import OffsetSpan
from customer_profiles.processing.integrity.salvage import genuine
from customer_profiles.processing.integrity.spans import batches_of, before, inside, planned
from customer_profiles.processing.parse import bucket_numbers

POSITION = ["kafka_partition", "kafka_offset"]
"""Where an event stands in the topic."""
IDENTITY = [*POSITION, "event_id"]
"""What tells a stored event from all others, also after a topic was made anew."""
_FILE = "file"
"""The position of an event's file in the list of whole files."""


@dataclass(frozen=True, slots=True)
class StoredEvents:
    """What could be read of one bucket's events."""

    bucket: int
    files: Sequence[DataFile]
    """The live data files, and those that should be there."""
    frames: Mapping[str, pl.DataFrame]
    """The events of each file that could be read, by its name."""
    damaged: Mapping[str, str]
    """Files that could not be read, and what is wrong with each; an empty text: it is missing."""
    expected: Mapping[str, int]
    """The number of events that each file should have, where that is known."""
    foreign: frozenset[str] = frozenset()
    """Files that another program wrote, among those that could be read."""


@dataclass(frozen=True, slots=True)
class EventsVerdict:
    """What is wrong with one bucket's events, and what they should be."""

    findings: list[Finding]
    whole: pl.DataFrame
    """The stored events that belong into the bucket, each offset once. `EVENT_SCHEMA`."""
    restorable: pl.DataFrame
    """The events that the topic still has and the lake lacks. `EVENT_SCHEMA`."""
    rewrite: frozenset[str] = field(default_factory=frozenset)
    """The files that are to be replaced; none if the events are as they should be."""
    topic_differs: bool = False
    """The topic has other events at the lake's offsets."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the rest of the lake and the topic say about all buckets."""

    buckets: int
    """The number of buckets."""
    next_offsets: Mapping[int, int]
    """By partition, the first offset that the lake does not have."""
    plans: Mapping[int, Batch]
    """The known plans, by batch."""
    spans: Mapping[int, OffsetSpan]
    """The offsets that the topic still has and the lake should have."""
    one_topic: bool
    """All events come from one topic, so that no two have the same offset."""


def check_events(stored: StoredEvents, known: Known, sent: pl.DataFrame | None) -> EventsVerdict:
    """Compare a bucket's files with the plans and with the topic.

    Args:
        stored: the files.
        known: what else is known.
        sent: the bucket's events in the topic, within its spans; None if the topic is not to be
            trusted. `EVENT_SCHEMA`.
    """
    rows = _with_files(stored)
    problems = {**dict.fromkeys(stored.foreign, "another program wrote it"), **stored.damaged}
    for name, detail in _wrong_rows(rows, stored, known).items():
        problems.setdefault(name, detail)
    findings = [
        _finding(file, stored, problems[file.name])
        for file in stored.files
        if file.name in problems
    ]
    belongs = bucket_numbers(rows["user_id"], known.buckets) == stored.bucket
    if known.one_topic:
        belongs &= before(rows, known.next_offsets)
    belongs &= _trusted(rows, stored, known.spans if sent is not None else {})
    whole = rows.filter(belongs).unique(IDENTITY, keep="first", maintain_order=True)
    whole = whole.select(EVENT_SCHEMA.keys())
    restorable = pl.DataFrame(schema=EVENT_SCHEMA)
    differs = sent is not None and known.one_topic and _differs(whole, sent, known.spans)
    if sent is not None and not differs:
        restorable = sent.join(whole, on=IDENTITY, how="anti")
    all_files = {file.name for file in stored.files}
    rewrite = set(problems)
    if restorable.height and not rewrite:
        findings.append(_incomplete(stored.bucket, restorable, known.plans))
        rewrite = all_files
    if len(rewrite) > 1 or any(_covered(file, stored.files, rewrite) for file in stored.files):
        # Which events belong into which of several files is not known, so all become one file.
        rewrite = all_files
    return EventsVerdict(findings, whole, restorable, frozenset(rewrite), differs)


def _incomplete(bucket: int, events: pl.DataFrame, plans: Mapping[int, Batch]) -> Finding:
    """Return the finding for events that the topic has and the lake lacks."""
    return Finding(
        Kind.INCOMPLETE,
        events_prefix(bucket),
        Remedy.REPAIR,
        f"{events.height:,} events that the topic has are not stored",
        bucket=bucket,
        batches=batches_of(events, plans),
        events=events.height,
        customers=events["user_id"].n_unique(),
    )


def _covered(file: DataFile, files: Sequence[DataFile], names: Iterable[str]) -> bool:
    """Tell whether one of some files, when it is written again, replaces another one."""
    return any(
        other.name != file.name
        and other.name in names
        and other.first_batch <= file.first_batch
        and file.last_batch <= other.last_batch
        for other in files
    )


def _with_files(stored: StoredEvents) -> pl.DataFrame:
    """Return all events that could be read, with the number of each one's file."""
    empty = pl.DataFrame(schema={**EVENT_SCHEMA, _FILE: pl.Int32})
    names = [file.name for file in stored.files]
    parts = [
        frame.with_columns(pl.lit(names.index(name), pl.Int32).alias(_FILE))
        for name, frame in stored.frames.items()
    ]
    return pl.concat([empty, *parts])


def _trusted(
    rows: pl.DataFrame, stored: StoredEvents, spans: Mapping[int, OffsetSpan]
) -> pl.Series:
    """Tell which events are what was sent, as far as nobody else says it.

    Of a file that another program wrote, events that the topic still has are taken from there.
    """
    numbers = [n for n, file in enumerate(stored.files) if file.name in stored.foreign]
    is_foreign = rows[_FILE].is_in(numbers)
    if not is_foreign.any():
        return ~is_foreign
    return ~is_foreign | (genuine(rows) & ~inside(rows, spans))


def _wrong_rows(rows: pl.DataFrame, stored: StoredEvents, known: Known) -> dict[str, str]:
    """Return the files with events that do not belong into them, and why."""
    problems: dict[str, str] = {}

    def note(mask: pl.Series, reason: str) -> None:
        for number, count in rows.filter(mask)[_FILE].value_counts().iter_rows():
            name = stored.files[number].name
            problems.setdefault(name, f"{count:,} of its events {reason}")

    others = bucket_numbers(rows["user_id"], known.buckets) != stored.bucket
    note(others, "belong to another bucket")
    if known.one_topic:
        note(~before(rows, known.next_offsets), "have offsets after the last batch")
        repeated = ~rows.select(pl.struct(POSITION).is_first_distinct()).to_series()
        note(repeated, "have the offsets of other events")
    for number, file in enumerate(stored.files):
        spans = planned(file, known.plans)
        if spans is not None and file.name in stored.frames:
            outside = (rows[_FILE] == number) & ~inside(rows, spans)
            note(outside, "have offsets that its plan does not name")
    return problems


def _differs(whole: pl.DataFrame, sent: pl.DataFrame, spans: Mapping[int, OffsetSpan]) -> bool:
    """Tell whether the topic has another event, or none, where the lake has one."""
    kept = whole.filter(inside(whole, spans))
    return kept.join(sent, on=IDENTITY, how="anti").height > 0


def _finding(file: DataFile, stored: StoredEvents, detail: str) -> Finding:
    return Finding(
        Kind.DAMAGED if detail else Kind.MISSING,
        file.name,
        Remedy.REPAIR,
        detail,
        bucket=stored.bucket,
        batches=(file.first_batch, file.last_batch),
        events=stored.expected.get(file.name),
    )
