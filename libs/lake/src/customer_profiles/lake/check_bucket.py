"""Is everything of one bucket there? Pure, apart from looking at the attributes of an object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypedDict

from customer_profiles.lake.checksums import EVENTS, THROUGH_BATCH, WRITTEN
from customer_profiles.lake.compaction import DataFile, live_files
from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.findings import Finding, Kind, Remedy
from customer_profiles.lake.layout import (
    data_file_batches,
    data_file_name,
    event_counts_name,
    events_prefix,
    profiles_name,
)
from customer_profiles.lake.manifest import BucketManifest, BucketObject, EventFile
from customer_profiles.lake.object_store import ObjectInfo

Head = Callable[[str], ObjectInfo | None]
"""`ObjectStore.head`."""


class _Facts(TypedDict):
    batches: tuple[int, int]
    events: int


@dataclass(frozen=True, slots=True)
class BucketView:
    """What is known of one bucket, and what is there."""

    bucket: int
    objects: Mapping[str, ObjectInfo]
    """Its data files, profiles and event counts, from a listing."""
    entry: BucketManifest | None
    """What the manifest says; None if it does not know the bucket."""
    landed: Mapping[int, EventFile]
    """The data files of the committed batches after the entry, or after the checkpoint, by batch.

    Size and ETag are 0 and empty for commits of version 0.2."""
    last_committed: int
    expected_events: int | None
    """The stored events up to that batch; None if unknown."""
    customers: int | None
    """The customers in the state's totals; None if it has none of the bucket."""


def check_bucket(view: BucketView, head: Head) -> list[Finding]:
    """Compare what is there of a bucket with what should be there.

    Args:
        view: the bucket.
        head: looks at the attributes of an object. Only called for objects that differ.

    Returns:
        What differs. A finding about profiles or counts is one that a run mends by itself.
    """
    findings = [*_check_events(view, head), *_check_profiles(view, head)]
    customers = view.customers
    if customers is None and view.entry and view.entry.profiles:
        customers = view.entry.profiles.rows
    return [replace(finding, bucket=view.bucket, customers=customers) for finding in findings]


def data_files(objects: Mapping[str, ObjectInfo]) -> list[DataFile]:
    """Return the data files among some objects."""
    return [
        DataFile(name, *batches, info.size, info.etag)
        for name, info in objects.items()
        if (batches := data_file_batches(name))
    ]


def _check_events(view: BucketView, head: Head) -> Iterator[Finding]:
    known = {file.name: file for file in view.entry.files} if view.entry else {}
    known |= {file.name: file for file in view.landed.values()}
    committed = [
        file for file in data_files(view.objects) if file.last_batch <= view.last_committed
    ]
    live = live_files(committed)
    findings = list(_check_missing(known, live, head))
    stored = 0
    for file in live:
        events, finding = _count(file, known.get(file.name), view, head)
        stored += events
        findings.extend([finding] if finding else [])
    yield from findings
    counted = view.entry is not None and view.expected_events is not None
    if counted and not findings and stored != view.expected_events:
        detail = f"{stored:,} events in its data files, {view.expected_events:,} were landed"
        yield Finding(Kind.INCOMPLETE, events_prefix(view.bucket), Remedy.REPAIR, detail)


def _check_missing(
    known: Mapping[str, EventFile], live: list[DataFile], head: Head
) -> Iterator[Finding]:
    live_names = {file.name for file in live}
    for file in known.values():
        covered = file.name in live_names or any(
            other.first_batch <= file.first_batch and file.last_batch <= other.last_batch
            for other in live
        )
        if covered:
            continue
        facts: _Facts = {
            "batches": (file.first_batch, file.last_batch),
            "events": file.events,
        }
        try:
            # MinIO does not list an object whose metadata it cannot read.
            head(file.name)
        except DamagedObjectError as error:
            yield Finding.of_damage(error, Remedy.REPAIR, **facts)
        else:
            yield Finding(Kind.MISSING, file.name, Remedy.REPAIR, **facts)


def _count(
    file: DataFile, known: EventFile | None, view: BucketView, head: Head
) -> tuple[int, Finding | None]:
    """Return the events in a live data file, and what is wrong with it."""
    if known and (not known.etag or known.etag == file.etag):
        return known.events, None
    if view.entry is None:
        # Without a manifest the sum is not compared, so the number does not matter.
        return 0, None
    batches = (file.first_batch, file.last_batch)
    try:
        info = head(file.name)
    except DamagedObjectError as error:
        return 0, Finding.of_damage(error, Remedy.REPAIR, batches=batches)
    events = info.attributes.get(EVENTS) if info else None
    if events is not None and (known is None or known.events == int(events)):
        return int(events), None
    written = known.events if known else None
    return 0, Finding(Kind.REPLACED, file.name, Remedy.REPAIR, batches=batches, events=written)


def _check_profiles(view: BucketView, head: Head) -> Iterator[Finding]:
    entry = view.entry
    names = (profiles_name(view.bucket), event_counts_name(view.bucket))
    if (entry is None or entry.profiles is None) and names[0] not in view.objects:
        if view.customers:
            yield Finding(Kind.MISSING, names[0], Remedy.PROCESS)
        return
    if entry is None:
        return
    for name, record in zip(names, (entry.profiles, entry.counts), strict=True):
        if record is not None:
            yield from _check_object(name, record, view, head)


def _check_object(
    name: str, record: BucketObject, view: BucketView, head: Head
) -> Iterator[Finding]:
    listed = view.objects.get(name)
    if listed and listed.etag == record.etag:
        return
    try:
        info = head(name)
    except DamagedObjectError as error:
        yield Finding.of_damage(error, Remedy.PROCESS)
        return
    if info is None:
        yield Finding(Kind.MISSING, name, Remedy.PROCESS)
        return
    through = int(info.attributes.get(THROUGH_BATCH, -1))
    version = through, info.attributes.get(WRITTEN, "")
    if through < 0 or version == (record.through_batch, record.written):
        # A run writes the same bytes if it writes them again.
        yield Finding(Kind.REPLACED, name, Remedy.PROCESS)
    elif version < (record.through_batch, record.written):
        lacks = (through + 1, record.through_batch) if through < record.through_batch else None
        yield Finding(Kind.OLDER, name, Remedy.PROCESS, batches=lacks)
    elif through > view.last_committed:
        batches = (view.last_committed + 1, through)
        yield Finding(Kind.UNPLANNED, name, Remedy.REPAIR, batches=batches)


def landed_file(bucket: int, batch: int, events: int, size: int, etag: str) -> EventFile:
    """Return the record of one micro-batch's data file, from its commit."""
    return EventFile(data_file_name(bucket, batch), batch, batch, events, size, etag)
