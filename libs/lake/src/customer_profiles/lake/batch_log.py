"""The batch log: which offsets each micro-batch contains, and whether it is committed.

A plan (`events/_batches/000012.json`) is written before a batch is read, and only if that name does
not exist yet. So if two runs plan at once, only one continues. A batch that is planned but not
committed is landed again, from the same offsets into the same objects. Once the profiles and the
index contain a batch, a checkpoint (`through.json`) replaces its plan and commit, so that the log
stays short.
"""

from __future__ import annotations

from collections.abc import Mapping

from customer_profiles.common.errors import PipelineError
from customer_profiles.lake.batch_records import Batch, Checkpoint, LandedBatch, OffsetSpan
from customer_profiles.lake.errors import WriteConflictError
from customer_profiles.lake.layout import (
    BATCHES_PREFIX,
    CHECKPOINT,
    COMMIT_SUFFIX,
    commit_name,
    plan_name,
)
from customer_profiles.lake.object_store import ObjectStore

__all__ = ["Batch", "BatchLog", "LandedBatch", "OffsetSpan", "next_offset_ranges"]


class BatchLog:
    """The micro-batches in a lake, as they are when the log is opened, and those added since."""

    _newest_read: Batch | None = None
    """The plan that was read or written last."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        # List before reading the checkpoint. A batch that is checkpointed in between is then in
        # both; in the other order it would be in neither.
        names = [name for name in store.list_sizes(BATCHES_PREFIX) if name != CHECKPOINT]
        self._checkpoint = Checkpoint.from_json(store.get_json(CHECKPOINT))
        numbers = {name: _batch_number(name) for name in names}
        later = {name for name in names if numbers[name] > self._checkpoint.through_batch}
        self._obsolete = [name for name in names if name not in later]
        """Objects that the checkpoint replaces and that are still to be deleted."""
        commits = {name for name in later if name.endswith(COMMIT_SUFFIX)}
        self._planned = sorted(numbers[name] for name in later - commits)
        self._committed: dict[int, frozenset[int] | None] = {
            numbers[name]: None for name in commits
        }
        """The buckets that each committed batch changed; None until they are read."""

    def __len__(self) -> int:
        """Return the number of batches that are not in the checkpoint."""
        return len(self._planned)

    @property
    def last_committed(self) -> int:
        """The number of the newest committed batch; 0 before the first."""
        return max(self._committed, default=self._checkpoint.through_batch)

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

    def buckets(self) -> int | None:
        """Return the number of buckets in the lake; None before its first batch."""
        if self._checkpoint.buckets:
            return self._checkpoint.buckets
        return self._read_plan(self._planned[0]).buckets if self._planned else None

    def plan(self, ranges: Mapping[int, OffsetSpan], buckets: int) -> Batch:
        """Plan the next batch.

        Args:
            ranges: the offsets of every partition, as `next_offset_ranges` returns them.
            buckets: the number of buckets in the lake.

        Raises:
            WriteConflictError: another run has planned the batch already.
        """
        number = max(self._planned, default=self._checkpoint.through_batch) + 1
        batch = Batch(number, buckets, ranges)
        self._store.put_json(plan_name(number), batch.to_json(), if_absent=True)
        # While this run was suspended, others may have landed a batch of this number, and a
        # checkpoint may have replaced its plan. The name was free for that reason only.
        if Checkpoint.from_json(self._store.get_json(CHECKPOINT)).through_batch >= number:
            self._store.delete(plan_name(number))
            raise WriteConflictError(
                "Another run has landed newer events in the meantime; this one has stopped and "
                "nothing is lost.\nRun `make process` again when the other has ended."
            )
        self._planned.append(number)
        self._newest_read = batch
        return batch

    def commit(self, batch: Batch, landed: LandedBatch) -> None:
        """Record that every object of a batch is written."""
        self._store.put_json(commit_name(batch.number), landed.to_json())
        self._committed[batch.number] = frozenset(landed.events_by_bucket)

    def buckets_changed_since(self, number: int) -> set[int]:
        """Return the buckets that got events in batches after this one.

        For a batch before the checkpoint, these are all buckets that the checkpoint knows, because
        it does not tell its batches apart.
        """
        before_checkpoint = number < self._checkpoint.through_batch
        changed = set(self._checkpoint.changed_buckets) if before_checkpoint else set()
        for later in sorted(self._committed):
            if later > number:
                changed |= self._changed_buckets(later)
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
            changed = self._checkpoint.changed_buckets.union(*map(self._changed_buckets, old))
            self._checkpoint = Checkpoint(old[-1], self.buckets() or 0, next_offsets, changed)
            self._store.put_json(CHECKPOINT, self._checkpoint.to_json())
            for number in old:
                self._obsolete += [plan_name(number), commit_name(number)]
                del self._committed[number]
            self._planned = self._planned[len(old) :]
        for name in self._obsolete:
            self._store.delete(name)
        self._obsolete = []

    def _changed_buckets(self, number: int) -> frozenset[int]:
        buckets = self._committed[number]
        if buckets is None:
            content = self._store.get_json(commit_name(number))
            if content is None:
                raise _vanished(f"The commit of batch {number}")
            buckets = frozenset(int(bucket) for bucket in content["events_by_bucket"])
            self._committed[number] = buckets
        return buckets

    def _read_plan(self, number: int) -> Batch:
        if self._newest_read is None or self._newest_read.number != number:
            content = self._store.get_json(plan_name(number))
            if content is None:
                raise _vanished(f"The plan of batch {number}")
            self._newest_read = Batch.from_json(content)
        return self._newest_read


def next_offset_ranges(
    watermarks: Mapping[int, OffsetSpan], start_offsets: Mapping[int, int], max_events: int
) -> dict[int, OffsetSpan]:
    """Return the offsets of the next micro-batch.

    Args:
        watermarks: by partition, the topic's first offset and the one after its last.
        start_offsets: by partition, the first offset that is in no batch yet.
        max_events: the most events in a batch. Partitions share it equally.

    Returns:
        The offsets of every partition, also of those without new messages, so that the newest plan
        knows all partitions.

    Raises:
        PipelineError: the topic has no longer, or never had, the offsets that come next.
    """
    share = max(1, max_events // max(1, len(watermarks)))
    ranges: dict[int, OffsetSpan] = {}
    for partition, (low, high) in sorted(watermarks.items()):
        start = start_offsets.get(partition, 0)
        if start < low:
            raise PipelineError(
                f"Partition {partition} of raw_events begins at offset {low}, but {start} is due: "
                f"{low - start} messages were removed before they reached the lake.\n"
                "Ingest their sources again into a new stack (`make clean`), and run "
                "`make process` within the topic's retention."
            )
        if start > high:
            raise PipelineError(
                f"Partition {partition} of raw_events ends at offset {high}, but the lake holds it "
                f"up to {start}: the topic was made anew beside an old lake.\n"
                "Start both afresh with `make clean`, or bring the topic's data back."
            )
        ranges[partition] = (start, min(high, start + share))
    return ranges


def _batch_number(name: str) -> int:
    return int(name.removeprefix(BATCHES_PREFIX).split(".")[0])


def _vanished(description: str) -> PipelineError:
    return PipelineError(
        f"{description} has vanished from the lake while it was read.\n"
        "Does another run checkpoint it at the same time? Run the command again."
    )
