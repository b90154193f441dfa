"""How many events each bucket should have, and how the manifest follows the lake."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.check_bucket import Head, data_files
from customer_profiles.lake.checksums import EVENTS, ROWS, THROUGH_BATCH, WRITTEN
from customer_profiles.lake.compaction import DataFile, live_files
from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.layout import bucket_of_object, event_counts_name, profiles_name
from customer_profiles.lake.manifest import BucketManifest, BucketObject, EventFile, Manifest
from customer_profiles.lake.object_store import ObjectInfo, ObjectStore


def expected_events(
    log: BatchLog, manifest: Manifest | None, through_batch: int | None = None
) -> dict[int, int]:
    """Return how many events are stored up to a committed batch.

    The manifest or the checkpoint knows the sum of older batches, and the commits know the others.

    Args:
        log: the batch log.
        manifest: what the lake should hold; None for a lake without one.
        through_batch: the batch; the newest one if None.

    Returns:
        The events of each bucket for which they are known. In a lake of version 0.2 with a
        checkpoint, these are the buckets that a newer version has brought up to date. An entry of
        the manifest that includes later batches says nothing of an earlier one.
    """
    entries = manifest.by_bucket if manifest else {}
    checkpoint = log.checkpoint_record
    expected: dict[int, int] = {}
    for bucket in range(log.buckets() or 0):
        entry = entries.get(bucket)
        if entry is not None and entry.through_batch >= checkpoint.through_batch:
            before, since = entry.events, entry.through_batch
        elif checkpoint.events_by_bucket is not None:
            before = checkpoint.events_by_bucket.get(bucket, 0)
            since = checkpoint.through_batch
        else:
            continue
        if through_batch is None or through_batch >= since:
            expected[bucket] = before + _landed_since(log, bucket, since, through_batch)
    return expected


def _landed_since(log: BatchLog, bucket: int, batch: int, through: int | None = None) -> int:
    """Return the events of a bucket in the batches after one that the checkpoint reaches."""
    last = log.last_committed if through is None else through
    later = (number for number in log.committed if batch < number <= last)
    return sum(log.commit_record(number).events_by_bucket.get(bucket, 0) for number in later)


def update_manifest(
    manifest: Manifest | None,
    log: BatchLog,
    changes: Iterable[tuple[int, BucketManifest | None, EventFile | None]],
) -> tuple[Manifest, set[int]]:
    """Return the manifest after a run, and the buckets that it cannot describe.

    Args:
        manifest: what it was before; None for a lake without one.
        log: the batch log.
        changes: in the order in which they were made: a bucket, what it consists of if its events
            were read, and the file that compaction wrote.

    Returns:
        The manifest, and the buckets with events that their entry lacks. Their entries stay as they
        were, and commits or the checkpoint tell what came later.
    """
    manifest = manifest or Manifest()
    through, checkpoint = log.last_committed, log.checkpoint_record.through_batch
    entries = dict(manifest.by_bucket)
    for bucket, content, merged in changes:
        if content is not None:
            entries[bucket] = content
        elif merged is not None and _describes(entries.get(bucket), merged):
            entries[bucket] = entries[bucket].with_merged(merged)
    expected = expected_events(log, replace(manifest, by_bucket=entries))
    stale: set[int] = set()
    for bucket in range(log.buckets() or 0):
        entry = entries.get(bucket)
        if entry is None and expected.get(bucket) == 0:
            entries[bucket] = BucketManifest(through, (), None, None)
        elif entry is None:
            stale.add(bucket)
        elif entry.through_batch < through:
            known = entry.through_batch >= checkpoint
            if known and not _landed_since(log, bucket, entry.through_batch):
                entries[bucket] = replace(entry, through_batch=through)
            else:
                stale.add(bucket)
    updated = Manifest(
        through_batch=through,
        buckets=log.buckets() or 0,
        next_offsets=log.next_offsets(),
        by_bucket=dict(sorted(entries.items())),
        topic_id=log.topic_id(),
    )
    return updated, stale


def _describes(entry: BucketManifest | None, merged: EventFile) -> bool:
    """Tell whether an entry has all batches that compaction has merged.

    If a run was killed after it wrote a bucket's profiles, the next one may merge batches that the
    entry lacks. The entry must not get their events without their numbers, or they count twice.
    """
    return entry is not None and merged.last_batch <= entry.through_batch


def describe_stale(
    manifest: Manifest, log: BatchLog, store: ObjectStore, buckets: Collection[int]
) -> Manifest:
    """Describe buckets anew by what their objects say about themselves.

    An entry only changes if its files hold all events that the log knows of.
    """
    expected = expected_events(log, manifest)
    objects = objects_by_bucket(store.list_objects(""))
    entries = dict(manifest.by_bucket)
    for bucket in buckets:
        entry = describe_bucket(bucket, objects.get(bucket, {}), log.last_committed, store.head)
        if entry is not None and expected.get(bucket, entry.events) == entry.events:
            entries[bucket] = entry
    return replace(manifest, by_bucket=dict(sorted(entries.items())))


def describe_bucket(
    bucket: int, objects: Mapping[str, ObjectInfo], through_batch: int, head: Head
) -> BucketManifest | None:
    """Describe a bucket by what its objects say about themselves.

    Args:
        bucket: the bucket.
        objects: its objects, from a listing.
        through_batch: the newest committed batch.
        head: `ObjectStore.head`.

    Returns:
        Its entry for the manifest; None if a file does not say how many events it has, as those of
        version 0.2 do not.
    """
    files = [file for file in data_files(objects) if file.last_batch <= through_batch]
    records: list[EventFile] = []
    for file in live_files(files):
        events = count_events([file], head)
        if events is None:
            return None
        record = EventFile(
            file.name, file.first_batch, file.last_batch, events, file.size_bytes, file.etag
        )
        records.append(record)
    profiles = _describe(profiles_name(bucket), objects, head)
    counts = _describe(event_counts_name(bucket), objects, head)
    return BucketManifest(through_batch, tuple(records), profiles, counts)


def count_events(files: Collection[DataFile], head: Head) -> int | None:
    """Return the events in some data files; None if one of them does not say it."""
    total = 0
    for file in files:
        info = _look(file.name, head)
        if info is None or EVENTS not in info.attributes:
            return None
        total += int(info.attributes[EVENTS])
    return total


def objects_by_bucket(objects: Mapping[str, ObjectInfo]) -> dict[int, dict[str, ObjectInfo]]:
    """Return the data files, profiles and event counts among some objects, by bucket."""
    groups: dict[int, dict[str, ObjectInfo]] = {}
    for name, info in objects.items():
        bucket = bucket_of_object(name)
        if bucket is not None:
            groups.setdefault(bucket, {})[name] = info
    return groups


def _describe(name: str, objects: Mapping[str, ObjectInfo], head: Head) -> BucketObject | None:
    info = _look(name, head) if name in objects else None
    if info is None or THROUGH_BATCH not in info.attributes:
        return None
    return BucketObject(
        through_batch=int(info.attributes[THROUGH_BATCH]),
        rows=int(info.attributes.get(ROWS, 0)),
        written=info.attributes.get(WRITTEN, ""),
        etag=info.etag,
    )


def _look(name: str, head: Head) -> ObjectInfo | None:
    try:
        return head(name)
    except DamagedObjectError:
        return None
