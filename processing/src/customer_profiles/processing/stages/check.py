"""The check of the lake before a run plans or writes anything.

What would give wrong results ends the run. What a run mends by itself becomes part of its plan,
with a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.check import check_lake, list_lake, restore_manifest
from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.expectation import update_manifest
from customer_profiles.lake.findings import Finding, Kind, LakeDamagedError, Remedy
from customer_profiles.lake.layout import MANIFEST, STATE
from customer_profiles.lake.manifest import Manifest
from customer_profiles.lake.object_store import ObjectInfo, ObjectStore
from customer_profiles.processing.background import Background
from customer_profiles.processing.state import ProfilesState
from customer_profiles.search.profile_index import IndexRef

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LakeView:
    """What the lake says that it holds, and what it holds. Read in this order."""

    manifest: Manifest | None
    damage: Finding | None
    """Why there is no manifest although the lake has one."""
    objects: Mapping[str, ObjectInfo]


@dataclass(frozen=True, slots=True)
class CheckedLake:
    """What a run has to know after the check."""

    manifest: Manifest | None
    findings: tuple[Finding, ...]
    """Only those that a run mends by itself."""
    objects: Mapping[str, ObjectInfo]
    """What is in the lake, by name."""

    @property
    def restore(self) -> frozenset[int]:
        """The buckets whose profiles and event counts have to be computed again."""
        return frozenset(f.bucket for f in self.findings if f.bucket is not None)


def look_in_background(store: ObjectStore) -> Background[LakeView]:
    """Read the manifest and list the lake beside the main thread."""
    return Background(lambda: look_at_lake(store), "look-at-lake")


def look_at_lake(store: ObjectStore) -> LakeView:
    """Read the manifest, then list the lake."""
    try:
        manifest, damage = Manifest.load(store), None
    except DamagedObjectError as error:
        manifest, damage = None, Finding.of_damage(error, Remedy.PROCESS)
    return LakeView(manifest, damage, list_lake(store))


def load_profiles_state(store: ObjectStore) -> tuple[ProfilesState, list[Finding]]:
    """Read the state of the profiles. One that is damaged is made anew by the run."""
    try:
        return ProfilesState.load(store), []
    except DamagedObjectError as error:
        return ProfilesState(), [Finding.of_damage(error, Remedy.PROCESS)]


def check(
    store: ObjectStore,
    log: BatchLog,
    profiles: ProfilesState,
    view: LakeView,
    damage: Sequence[Finding] = (),
    index: tuple[IndexRef, int] | None = None,
) -> CheckedLake:
    """Compare the lake with what it should hold; save a new manifest for one that was lost.

    Args:
        store: the lake.
        log: the batch log.
        profiles: the state of the profiles.
        view: what is in the lake.
        damage: what was found before.
        index: the live index and the newest batch that it has, if it is to be checked, too.

    Returns:
        What the run has to mend.

    Raises:
        LakeDamagedError: going on would give wrong results.
        DamagedObjectError: a record of the batch log is not what was written.
    """
    manifest, found = compare_lake(store, log, profiles, view, index)
    if found:
        # Another run may have written in between, so only what is found twice counts.
        view = look_at_lake(store)
        manifest, found = compare_lake(store, BatchLog(store), profiles, view, index)
    findings = [*damage, *found]
    if any(finding.stops_runs for finding in findings):
        raise LakeDamagedError(findings)
    if any(finding.object == MANIFEST for finding in findings):
        manifest, _ = update_manifest(manifest, log, ())
        manifest.save(store)
    for finding in findings:
        logger.warning(
            "%s; this run rebuilds it", finding, extra={"event": "lake_finding", **_facts(finding)}
        )
    return CheckedLake(manifest, tuple(findings), view.objects)


def compare_lake(
    store: ObjectStore,
    log: BatchLog,
    profiles: ProfilesState,
    view: LakeView,
    index: tuple[IndexRef, int] | None,
) -> tuple[Manifest | None, list[Finding]]:
    """Compare the lake once; the arguments are those of `check`.

    Returns:
        The manifest, made anew if the lake has lost it, and what differs.
    """
    manifest, findings = view.manifest, [view.damage] if view.damage else []
    if manifest is None and log.last_committed:
        manifest = restore_manifest(store, log, view.objects)
        if manifest is not None and not view.damage and profiles.through_batch:
            findings.append(Finding(Kind.MISSING, MANIFEST, Remedy.PROCESS))
    elif manifest is not None and STATE not in view.objects:
        findings.append(Finding(Kind.MISSING, STATE, Remedy.PROCESS))
    customers = {int(bucket): totals["customers"] for bucket, totals in profiles.totals.items()}
    findings += check_lake(
        store,
        log,
        manifest,
        view.objects,
        through_batch=profiles.through_batch,
        customers=customers,
    )
    # If the log is not whole, it is no measure for the index.
    if index is not None and not any(finding.stops_runs for finding in findings):
        findings += check_index(*index, log.last_committed)
    return manifest, findings


def check_index(index: IndexRef, index_batch: int, last_committed: int) -> list[Finding]:
    """See whether an index has micro-batches that the lake does not have.

    Elasticsearch keeps documents with a higher version, so it would silently refuse new ones.

    Args:
        index: the live index.
        index_batch: the newest batch that the index has.
        last_committed: the newest batch that the lake has.
    """
    if index_batch <= last_committed:
        return []
    detail = f"the lake ends at batch {last_committed}: was it restored from an older copy?"
    batches = (last_committed + 1, index_batch)
    return [Finding(Kind.INDEX_AHEAD, index.name, Remedy.REBUILD, detail, batches=batches)]


def _facts(finding: Finding) -> dict[str, int]:
    return {"batch": finding.batches[1]} if finding.batches else {}
