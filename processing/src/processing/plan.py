"""Which offsets a micro-batch holds: written down before it is read, marked done after.

`events/_batches/000012.json` says what batch 12 is. It is written only if nobody wrote it before,
so that of two runs one goes on; a batch that is planned and not done is done again, from the same
offsets into the same objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from processing.errors import ProcessError
from processing.lake import Objects

FOLDER = "events/_batches/"

Range = tuple[int, int]
"""Offsets from the first to, and without, the last."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One micro-batch."""

    number: int
    buckets: int
    ranges: Mapping[int, Range]
    """By partition."""

    def to_json(self) -> dict[str, Any]:
        ranges = {str(partition): list(span) for partition, span in self.ranges.items()}
        return {"batch": self.number, "buckets": self.buckets, "ranges": ranges}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Batch:
        ranges = {int(partition): (span[0], span[1]) for partition, span in found["ranges"].items()}
        return cls(found["batch"], found["buckets"], ranges)


@dataclass(frozen=True, slots=True)
class Landed:
    """What a batch that is done has brought."""

    events: int
    misfits: int
    events_by_bucket: Mapping[int, int]


class Plans:
    """The batches that the lake knows of."""

    def __init__(self, lake: Objects) -> None:
        self._lake = lake
        names = lake.sizes(FOLDER)
        self._planned = [int(name[len(FOLDER) :].split(".")[0]) for name in names if name.count(".") == 1]
        self._done = {int(name[len(FOLDER) :].split(".")[0]) for name in names if name.endswith(".done.json")}

    @property
    def last_done(self) -> int:
        """The number of the newest batch that is done; 0 before the first."""
        return max(self._done, default=0)

    def unfinished(self) -> Batch | None:
        """A batch that was planned and never marked done."""
        left = [number for number in self._planned if number not in self._done]
        return self._read(min(left)) if left else None

    def next_offsets(self) -> dict[int, int]:
        """By partition, the first offset that is in no batch yet; partitions without any are left out."""
        if not self._planned:
            return {}
        newest = self._read(max(self._planned))
        return {partition: span[1] for partition, span in newest.ranges.items()}

    def buckets(self) -> int | None:
        """Into how many buckets this lake is cut; None before its first batch."""
        return self._read(min(self._planned)).buckets if self._planned else None

    def add(self, ranges: Mapping[int, Range], buckets: int) -> Batch:
        """Plan the next batch.

        Raises:
            Superseded: another run has planned it already.
        """
        batch = Batch(max(self._planned, default=0) + 1, buckets, ranges)
        self._lake.put_json(f"{FOLDER}{batch.number:06d}.json", batch.to_json(), {"If-None-Match": "*"})
        self._planned.append(batch.number)
        return batch

    def mark_done(self, batch: Batch, landed: Landed) -> None:
        """Say that every object of a batch is written."""
        counts = {f"{bucket:02d}": count for bucket, count in sorted(landed.events_by_bucket.items())}
        done = {"events": landed.events, "misfits": landed.misfits, "events_by_bucket": counts}
        self._lake.put_json(f"{FOLDER}{batch.number:06d}.done.json", done)
        self._done.add(batch.number)

    def touched_since(self, number: int) -> set[int]:
        """The buckets that got events in batches after this one."""
        touched: set[int] = set()
        for later in sorted(done for done in self._done if done > number):
            found = self._lake.get_json(f"{FOLDER}{later:06d}.done.json")
            assert found is not None
            touched.update(int(bucket) for bucket in found["events_by_bucket"])
        return touched

    def _read(self, number: int) -> Batch:
        found = self._lake.get_json(f"{FOLDER}{number:06d}.json")
        if found is None:
            raise ProcessError(f"The plan of batch {number} has vanished from the lake while it was read.")
        return Batch.from_json(found)


def next_ranges(begin: Mapping[int, Range], start: Mapping[int, int], most: int) -> dict[int, Range]:
    """The offsets of the next micro-batch.

    Args:
        begin: what the topic holds by partition: its first offset, and the one after its last.
        start: by partition, the first offset that is in no batch yet.
        most: events in a batch at the most; partitions share it evenly.

    Returns:
        By partition, also where there is nothing new, so that the newest plan knows them all.

    Raises:
        ProcessError: the topic no longer holds, or never held, offsets that are due.
    """
    share = max(1, most // max(1, len(begin)))
    ranges: dict[int, Range] = {}
    for partition, (first, end) in sorted(begin.items()):
        due = start.get(partition, 0)
        if due < first:
            raise ProcessError(
                f"Partition {partition} of raw_events begins at offset {first}, but {due} is due: "
                f"{first - due} messages were removed before they reached the lake.\n"
                "Ingest their sources again into a new stack (`make clean`), and run `make process` within the "
                "topic's retention."
            )
        if due > end:
            raise ProcessError(
                f"Partition {partition} of raw_events ends at offset {end}, but the lake holds it up to {due}: "
                "the topic was made anew beside an old lake.\n"
                "Start both afresh with `make clean`, or bring the topic's data back."
            )
        ranges[partition] = (due, min(end, due + share))
    return ranges
