"""The batch log: which offsets each micro-batch contains, and whether it is committed.

A plan (`events/_batches/000012.json`) is written before a batch is read, and only if that name is
free. So if two runs plan at once, only one continues. A batch that is planned but not committed is
landed again, from the same offsets into the same objects. Once profiles and index contain a batch,
a checkpoint (`through.json`) replaces its plan and commit, so that the log stays short.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from customer_profiles.common.errors import PipelineError
from customer_profiles.lake.batch_records import Batch, Checkpoint, LandedBatch, add_up
from customer_profiles.lake.errors import WriteConflictError
from customer_profiles.lake.first_writes import FirstWrites
from customer_profiles.lake.layout import (
    BATCHES_PREFIX,
    CHECKPOINT,
    COMMIT_SUFFIX,
    commit_name,
    plan_name,
)
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.offsets import OffsetSpan, next_offset_ranges
from customer_profiles.lake.runs import busy_error

__all__ = ["Batch", "BatchLog", "LandedBatch", "OffsetSpan", "next_offset_ranges"]

_BATCH = re.compile(re.escape(BATCHES_PREFIX) + r"\d{6,}(\.done)?\.json")
"""The names of plans and commits. Whatever else somebody puts there is no part of the log."""


class BatchLog:
    """The micro-batches in a lake, as they are when the log is opened, and those added since."""

    _newest_read: Batch | None = None
    """The plan that was read or written last."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._first_writes = FirstWrites(store)
        # List before reading the checkpoint. A batch that is checkpointed in between is then in
        # both; in the other order it would be in neither.
        names = [name for name in store.list_sizes(BATCHES_PREFIX) if _BATCH.fullmatch(name)]
        self._checkpoint = self._read_checkpoint()
        numbers = {name: _batch_number(name) for name in names}
        later = {name for name in names if numbers[name] > self._checkpoint.through_batch}
        self._obsolete = [name for name in names if name not in later]
        """Objects that the checkpoint replaces and that are still to be deleted."""
        commits = {name for name in later if name.endswith(COMMIT_SUFFIX)}
        self._planned = sorted(numbers[name] for name in later - commits)
        self._committed: dict[int, LandedBatch | None] = {numbers[name]: None for name in commits}
        """What each committed batch brought; None until it is read."""

    def __len__(self) -> int:
        """Return the number of batches that are not in the checkpoint."""
        return len(self._planned)

    @property
    def last_committed(self) -> int:
        """The number of the newest committed batch; 0 before the first."""
        return max(self._committed, default=self._checkpoint.through_batch)

    @property
    def planned(self) -> tuple[int, ...]:
        """The batches with plans of their own, in ascending order."""
        return tuple(self._planned)

    @property
    def committed(self) -> tuple[int, ...]:
        """The batches with commits of their own, in ascending order."""
        return tuple(sorted(self._committed))

    @property
    def checkpoint_record(self) -> Checkpoint:
        """What the log says about all older batches."""
        return self._checkpoint

    def commit_record(self, number: int) -> LandedBatch:
        """Return what a batch with a commit of its own brought.

        Raises:
            DamagedObjectError: the commit is not what was written.
            PipelineError: the commit has vanished.
        """
        landed = self._committed[number]
        if landed is None:
            landed = self._store.get_record(commit_name(number), LandedBatch.from_json)
            if landed is None:
                raise _vanished(f"The commit of batch {number}")
            self._committed[number] = landed
        return landed

    def events_by_bucket(self, first_batch: int) -> dict[int, int]:
        """Return the events that each bucket got from a batch on that the checkpoint lacks."""
        counts: Counter[int] = Counter()
        for number in self._committed:
            if number >= first_batch:
                counts.update(self.commit_record(number).events_by_bucket)
        return dict(counts)

    def uncommitted(self) -> Batch | None:
        """Return the oldest batch that was planned but never committed."""
        for number in self._planned:
            if number not in self._committed:
                return self._read_plan(number)
        return None

    def next_offsets(self) -> dict[int, int]:
        """Return each partition's first offset that is in no batch yet.

        Partitions of which no offset is in a batch are left out.
        """
        if not self._planned:
            return dict(self._checkpoint.next_offsets)
        newest = self._read_plan(self._planned[-1])
        return {partition: end for partition, (_, end) in newest.ranges.items()}

    def topic_id(self) -> str | None:
        """Return the id of the topic that `next_offsets` belong to; None if nobody noted it."""
        if not self._planned:
            return self._checkpoint.topic_id
        return self._read_plan(self._planned[-1]).topic_id

    def buckets(self) -> int | None:
        """Return the number of buckets in the lake; None before its first batch."""
        if self._checkpoint.buckets:
            return self._checkpoint.buckets
        return self._read_plan(self._planned[0]).buckets if self._planned else None

    def plan(
        self,
        ranges: Mapping[int, OffsetSpan],
        buckets: int,
        *,
        topic_id: str | None = None,
        run: Mapping[str, Any] | None = None,
    ) -> Batch:
        """Plan the next batch.

        Args:
            ranges: the offsets of every partition, as `next_offset_ranges` returns them.
            buckets: the number of buckets in the lake.
            topic_id: Kafka's id of the topic that the offsets belong to.
            run: the run that plans it, as `runs.this_run` describes it.

        Raises:
            WriteConflictError: another run has planned the batch already. The message names it.
        """
        number = max(self._planned, default=self._checkpoint.through_batch) + 1
        batch = Batch(number, buckets, ranges, topic_id, run)
        try:
            stored = self._first_writes.put(plan_name(number), batch.to_json())
            batch = Batch.from_json(stored)
        except WriteConflictError as error:
            plan = self._store.get_json(plan_name(number)) or {}
            raise busy_error(number, plan.get("planned_by")) from error
        # While this run was suspended, others may have landed a batch of this number, and a
        # checkpoint may have replaced its plan. The name was free for that reason only.
        if self._read_checkpoint().through_batch >= number:
            self._store.delete(plan_name(number))
            raise WriteConflictError(
                "Another run has landed newer events in the meantime; this one has stopped and "
                "nothing is lost.\nRun `make process` again when the other has ended."
            )
        self._planned.append(number)
        self._newest_read = batch
        return batch

    def commit(self, batch: Batch, landed: LandedBatch) -> None:
        """Record that every object of a batch is written.

        The commit repeats the plan, so that either can be rebuilt from the other.

        Raises:
            WriteConflictError: another run has committed the batch. Both have written the same.
        """
        content = {**landed.to_json(), "plan": batch.to_json()}
        try:
            self._first_writes.put(commit_name(batch.number), content)
        except WriteConflictError as error:
            raise busy_error(batch.number, None) from error
        self._committed[batch.number] = landed

    def buckets_changed_since(self, number: int, through: int | None = None) -> set[int]:
        """Return the buckets that got events in batches after this one, up to another one.

        For a batch before the checkpoint, these are all buckets that the checkpoint knows.
        """
        last = self.last_committed if through is None else through
        is_old = number < self._checkpoint.through_batch
        changed = set(self._checkpoint.changed_buckets) if is_old else set()
        for later in self.committed:
            if number < later <= last:
                changed |= set(self.commit_record(later).events_by_bucket)
        return changed

    def checkpoint(self, through: int) -> None:
        """Replace the plans and commits of all batches up to one by the checkpoint.

        Args:
            through: the newest batch that profiles and index contain. It is committed.
        """
        old = [number for number in self._planned if number <= through]
        if old:
            last = self._read_plan(old[-1])
            next_offsets = {partition: end for partition, (_, end) in last.ranges.items()}
            landed = [self.commit_record(number).events_by_bucket for number in old]
            changed = self._checkpoint.changed_buckets.union(*landed)
            counts = add_up(self._checkpoint.events_by_bucket, landed)
            buckets = self.buckets() or 0
            checkpoint = Checkpoint(old[-1], buckets, next_offsets, changed, counts, last.topic_id)
            # Only a checkpoint that is stored counts: after a failure this is done again.
            self._store.put_json(CHECKPOINT, checkpoint.to_json())
            self._checkpoint = checkpoint
            for number in old:
                self._obsolete += [plan_name(number), commit_name(number)]
                del self._committed[number]
            self._planned = self._planned[len(old) :]
        for name in self._obsolete:
            self._store.delete(name)
        self._obsolete = []

    def _read_checkpoint(self) -> Checkpoint:
        return self._store.get_record(CHECKPOINT, Checkpoint.from_json) or Checkpoint()

    def _read_plan(self, number: int) -> Batch:
        if self._newest_read is None or self._newest_read.number != number:
            batch = self._store.get_record(plan_name(number), Batch.from_json)
            if batch is None:
                raise _vanished(f"The plan of batch {number}")
            self._newest_read = batch
        return self._newest_read


def _batch_number(name: str) -> int:
    return int(name.removeprefix(BATCHES_PREFIX).split(".")[0])


def _vanished(description: str) -> PipelineError:
    return PipelineError(
        f"{description} has vanished from the lake while it was read.\n"
        "Does another run checkpoint it at the same time? Run the command again."
    )
