"""The check that every run makes before it plans or writes anything: is all of the lake there?

It compares one listing of the lake with the manifest, the batch log and the state. It reads an
object's attributes only where they differ, and no contents. `make verify` builds on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.check_bucket import (
    BucketView,
    Head,
    check_bucket,
    data_files,
    landed_file,
)
from customer_profiles.lake.check_log import LogView, check_log
from customer_profiles.lake.compaction import DataFile
from customer_profiles.lake.expectation import (
    count_events,
    describe_bucket,
    expected_events,
    objects_by_bucket,
)
from customer_profiles.lake.findings import Finding, Kind, Remedy
from customer_profiles.lake.layout import plan_name
from customer_profiles.lake.manifest import BucketManifest, EventFile, Manifest
from customer_profiles.lake.object_store import ObjectInfo, ObjectStore

MAX_COUNTED_FILES = 1_000
"""Data files whose attributes are read to say how many events a lost plan concerns."""


def list_lake(store: ObjectStore) -> dict[str, ObjectInfo]:
    """Return all objects of the lake by name. 640 objects take 50 ms."""
    return store.list_objects("")


def restore_manifest(
    store: ObjectStore, log: BatchLog, objects: Mapping[str, ObjectInfo]
) -> Manifest | None:
    """Make a manifest for a lake that has none, from what its objects say about themselves.

    `check_lake` compares the result with the log, which knows how many events there should be.

    Returns:
        A manifest of the buckets whose data files all say how many events they have; None for a
        lake of version 0.2, whose files do not.
    """
    expected = expected_events(log, None)
    by_bucket: dict[int, BucketManifest] = {}
    for bucket, group in sorted(objects_by_bucket(objects).items()):
        entry = describe_bucket(bucket, group, log.last_committed, store.head)
        if entry is None and not by_bucket:
            return None
        if entry is not None and expected.get(bucket, entry.events) == entry.events:
            by_bucket[bucket] = entry
    return Manifest(by_bucket=by_bucket)


def check_lake(
    store: ObjectStore,
    log: BatchLog,
    manifest: Manifest | None,
    objects: Mapping[str, ObjectInfo],
    *,
    through_batch: int,
    customers: Mapping[int, int],
) -> list[Finding]:
    """Compare the lake with what it should hold.

    If another run writes at the same time, read the manifest first, then the listing, then the log.
    Otherwise objects of that run seem to be missing or unplanned.

    Args:
        store: the lake.
        log: the batch log.
        manifest: what the lake should hold; None for a lake of version 0.2.
        objects: what `list_lake` returned.
        through_batch: the newest batch that the state names (`_state/profiles.json`).
        customers: the customers of each bucket, from the same state.

    Returns:
        What differs; empty if nothing does. Objects that a killed run left and that are newer than
        the manifest are no finding.

    Raises:
        DamagedObjectError: a record of the batch log is not what was written.
        LakeUnavailableError: the lake does not answer.
    """
    view = LogView(log.checkpoint_record.through_batch, log.planned, log.committed)
    newest_known = max(through_batch, manifest.through_batch if manifest else 0)
    files = data_files(objects)
    findings = [
        _with_events(finding, files, store.head) for finding in check_log(view, newest_known)
    ]
    findings += _unplanned(files, max(view.newest, newest_known), findings, store.head)
    last_committed = max(view.last_committed, newest_known)
    for bucket_view in _bucket_views(log, manifest, objects, last_committed, customers):
        findings += check_bucket(bucket_view, store.head)
    return findings


def _bucket_views(
    log: BatchLog,
    manifest: Manifest | None,
    objects: Mapping[str, ObjectInfo],
    last_committed: int,
    customers: Mapping[int, int],
) -> Iterator[BucketView]:
    """Gather what is known of each bucket, and what is there."""
    by_bucket = objects_by_bucket(objects)
    expected = expected_events(log, manifest)
    entries = manifest.by_bucket if manifest else {}
    for bucket in range(_buckets(log, manifest)):
        entry = entries.get(bucket)
        yield BucketView(
            bucket=bucket,
            objects=by_bucket.get(bucket, {}),
            entry=entry,
            landed=_landed(log, bucket, _base(log, entry)),
            last_committed=last_committed,
            expected_events=expected.get(bucket),
            customers=customers.get(bucket),
        )


def _buckets(log: BatchLog, manifest: Manifest | None) -> int:
    """Return the number of buckets, also where the oldest plan is lost."""
    if manifest and manifest.buckets:
        return manifest.buckets
    return log.buckets() or 0


def _base(log: BatchLog, entry: BucketManifest | None) -> int:
    """Return the batch after which a bucket's files are known from commits."""
    checkpoint = log.checkpoint_record.through_batch
    return max(checkpoint, entry.through_batch) if entry else checkpoint


def _landed(log: BatchLog, bucket: int, after: int) -> dict[int, EventFile]:
    files: dict[int, EventFile] = {}
    for number in log.committed:
        if number <= after:
            continue
        commit = log.commit_record(number)
        if events := commit.events_by_bucket.get(bucket):
            size, etag = commit.files.get(bucket, (0, ""))
            files[number] = landed_file(bucket, number, events, size, etag)
    return files


def _unplanned(
    files: Iterable[DataFile], newest: int, known: Iterable[Finding], head: Head
) -> Iterator[Finding]:
    """Yield a finding for each batch that has data files and no plan."""
    reported = [finding.batches for finding in known if finding.batches]
    groups: dict[int, list[DataFile]] = {}
    for file in files:
        if file.last_batch > newest:
            groups.setdefault(file.last_batch, []).append(file)
    for number, group in sorted(groups.items()):
        if any(first <= number <= last for first, last in reported):
            continue
        detail = "1 data file" if len(group) == 1 else f"{len(group)} data files"
        first = min(file.first_batch for file in group)
        yield Finding(
            Kind.MISSING,
            plan_name(number),
            Remedy.REPAIR,
            f"{detail} of it",
            batches=(first, number),
            events=count_events(group, head),
        )


def _with_events(finding: Finding, files: Iterable[DataFile], head: Head) -> Finding:
    """Say how many events the batches of a lost plan or commit brought."""
    first, last = finding.batches or (0, 0)
    of_batches = [file for file in files if first <= file.first_batch <= file.last_batch <= last]
    if not of_batches or len(of_batches) > MAX_COUNTED_FILES:
        return finding
    return replace(finding, events=count_events(of_batches, head))
