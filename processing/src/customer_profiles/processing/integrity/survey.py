"""Read everything about a lake that is small: the batch log, the state, the manifest, a listing.

Reading never stops at an object that is damaged: it becomes a finding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from customer_profiles.lake.batch_records import Batch, Checkpoint, LandedBatch
from customer_profiles.lake.compaction import DataFile, live_files
from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.findings import Finding, Remedy
from customer_profiles.lake.gaps import Gap, read_gaps
from customer_profiles.lake.layout import (
    BATCHES_PREFIX,
    CHECKPOINT,
    COMMIT_SUFFIX,
    GAPS,
    INDEX_PROGRESS_PREFIX,
    LEASE,
    MANIFEST,
    QUARANTINE,
    REBUILDING,
    REJECTED_ROWS,
    STATE,
    data_file_batches,
    events_prefix,
)
from customer_profiles.lake.manifest import Manifest
from customer_profiles.lake.object_store import ObjectInfo, ObjectStore
from customer_profiles.lake.quarantine import Quarantine, read_quarantine
from customer_profiles.processing.rejected_counts import RejectedCounts
from customer_profiles.processing.state import ProfilesState

T = TypeVar("T")

_LOG_NAME = re.compile(re.escape(BATCHES_PREFIX) + r"(\d{6,})(?:\.done)?\.json")
"""The names of plans and commits."""

UNREADABLE = (KeyError, TypeError, ValueError, AttributeError)
"""What the values of a record can cause that has other keys or kinds of values than it should."""


@dataclass(frozen=True, slots=True)
class LogSurvey:
    """The records of the batch log that could be read."""

    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    has_checkpoint: bool = False
    plans: Mapping[int, Batch] = field(default_factory=dict)
    """By the number in the object's name."""
    planned_by_commits: Mapping[int, Batch] = field(default_factory=dict)
    """The plans that commits repeat."""
    commits: Mapping[int, Mapping[int, int]] = field(default_factory=dict)
    """The events of each bucket, by batch."""
    names: tuple[str, ...] = ()
    """All objects of the log but the checkpoint."""
    damaged: tuple[str, ...] = ()
    """Objects of the log that cannot be read."""

    @property
    def topic_id(self) -> str | None:
        """Kafka's id of the topic that the newest offsets belong to, as far as known."""
        plans = sorted(self.known_plans.items(), reverse=True)
        ids = [plan.topic_id for _, plan in plans if plan.topic_id]
        return ids[0] if ids else self.checkpoint.topic_id

    @property
    def known_plans(self) -> dict[int, Batch]:
        """The plans, also those of which only the commit has a copy."""
        return {**self.plans, **self.planned_by_commits}


@dataclass(frozen=True, slots=True)
class Survey:
    """A lake, without the contents of events, profiles and event counts."""

    objects: Mapping[str, ObjectInfo]
    log: LogSurvey
    state: ProfilesState | None
    """None if there is none, or if it is damaged."""
    manifest: Manifest | None
    """None if there is none, or if it is damaged."""
    gaps: tuple[Gap, ...]
    """Messages that were removed from the topic before they reached the lake."""
    rejected: RejectedCounts | None
    """None if there is none, or if it is damaged."""
    findings: tuple[Finding, ...]
    """The objects that could not be read."""
    quarantine: Quarantine | None = None
    """Which micro-batches wait for a decision; None if there is none, or if it is damaged."""

    @property
    def one_topic(self) -> bool:
        """Whether all events come from one topic, so that no two have the same offset."""
        return all(gap.last_offset is not None for gap in self.gaps)

    def files(self, bucket: int) -> list[DataFile]:
        """Return the live data files of a bucket, oldest first."""
        prefix = events_prefix(bucket)
        files = []
        for name, info in self.objects.items():
            if name.startswith(prefix) and (batches := data_file_batches(name)):
                files.append(DataFile(name, *batches, info.size))
        return live_files(files)

    @property
    def damaged(self) -> set[str]:
        """The names of the objects that could not be read."""
        return {finding.object for finding in self.findings}


def take_survey(store: ObjectStore) -> Survey:
    """Read the small objects of a lake and list the others."""
    objects = store.list_objects("")
    reader = _Reader(store)
    log = _read_log(reader, [name for name in objects if name.startswith(BATCHES_PREFIX)])
    state = reader.read(STATE, ProfilesState.load)
    manifest = reader.read(MANIFEST, Manifest.load)
    gaps = reader.read(GAPS, read_gaps)
    others = [name for name in objects if name.startswith(INDEX_PROGRESS_PREFIX)]
    for name in others:
        reader.record(name, lambda content: int(content["through_batch"]))
    for name in (LEASE, REBUILDING):
        reader.record(name, dict)
    quarantine = reader.read(QUARANTINE, read_quarantine)
    rejected = reader.record(REJECTED_ROWS, RejectedCounts.from_json)
    return Survey(
        objects,
        log,
        state if STATE in objects else None,
        manifest,
        gaps or (),
        rejected,
        tuple(reader.findings),
        quarantine,
    )


class _Reader:
    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.findings: list[Finding] = []

    def read(self, name: str, load: Callable[[ObjectStore], T]) -> T | None:
        """Read an object; remember it as a finding if it is damaged."""
        try:
            return load(self._store)
        except DamagedObjectError as error:
            damage = error
        except UNREADABLE as error:
            damage = DamagedObjectError(name, f"a key does not fit ({error!r})")
        number = _batch_number(name)
        batches = None if number is None else (number, number)
        self.findings.append(Finding.of_damage(damage, Remedy.REPAIR, batches=batches))
        return None

    def record(self, name: str, parse: Callable[[Mapping[str, Any]], T]) -> T | None:
        """Read a JSON object; None if it is missing or damaged."""
        return self.read(name, lambda store: store.get_record(name, parse))


def _read_log(reader: _Reader, names: list[str]) -> LogSurvey:
    plans: dict[int, Batch] = {}
    copies: dict[int, Batch] = {}
    commits: dict[int, Mapping[int, int]] = {}
    checkpoint = reader.record(CHECKPOINT, Checkpoint.from_json)
    for name in names:
        number = _batch_number(name)
        if number is None:
            continue
        if not name.endswith(COMMIT_SUFFIX):
            plan = reader.record(name, partial(_parse_plan, number))
            if plan is not None:
                plans[number] = plan
            continue
        commit = reader.record(name, partial(_parse_commit, number))
        if commit is not None:
            commits[number], copy = commit
            if copy is not None:
                copies[number] = copy
    return LogSurvey(
        checkpoint=checkpoint or Checkpoint(),
        has_checkpoint=CHECKPOINT in names,
        plans=plans,
        planned_by_commits=copies,
        commits=commits,
        names=tuple(name for name in names if _batch_number(name) is not None),
        damaged=tuple(finding.object for finding in reader.findings),
    )


def _parse_plan(number: int, content: Mapping[str, Any]) -> Batch:
    plan = Batch.from_json(content)
    if plan.number != number:
        raise ValueError(f"it belongs to batch {plan.number}")
    return plan


def _parse_commit(
    number: int, content: Mapping[str, Any]
) -> tuple[Mapping[int, int], Batch | None]:
    """Return the events of each bucket, and the plan that newer commits repeat."""
    plan = content.get("plan")
    landed = LandedBatch.from_json(content)
    return landed.events_by_bucket, _parse_plan(number, plan) if plan else None


def _batch_number(name: str) -> int | None:
    """Return the number of the batch that a plan or a commit belongs to."""
    match = _LOG_NAME.fullmatch(name)
    return int(match[1]) if match else None
