"""Which offsets a micro-batch holds: written down before it is read, marked done after.

`events/_batches/000012.json` says what batch 12 is. It is written only if nobody wrote it before,
so that of two runs one goes on; a batch that is planned and not done is done again, from the same
offsets into the same objects. What old batches have to say is summed up in `through.json` once
profiles and index have them, so the folder does not grow with the age of the lake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from processing.errors import ProcessError, Superseded
from processing.lake import Objects

FOLDER = "events/_batches/"
SUMMED_UP = FOLDER + "through.json"
"""Up to which batch, to which offsets and into which buckets: in place of the batches' own objects."""

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
    oldest_ms: int | None = None
    """When the first of its messages was produced, in milliseconds since 1970."""


_DONE_LATER: frozenset[int] = frozenset({-1})
"""Stands for buckets that nobody has asked for yet."""


@dataclass(frozen=True, slots=True)
class _Sum:
    """What the batches up to one add up to."""

    through: int = 0
    buckets: int = 0
    next_offsets: Mapping[int, int] = field(default_factory=dict)
    touched: frozenset[int] = frozenset()

    def to_json(self) -> dict[str, Any]:
        offsets = {str(partition): offset for partition, offset in self.next_offsets.items()}
        return {
            "through_batch": self.through,
            "buckets": self.buckets,
            "next_offsets": offsets,
            "touched": sorted(self.touched),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any] | None) -> _Sum:
        if found is None:
            return cls()
        offsets = {int(partition): offset for partition, offset in found["next_offsets"].items()}
        return cls(found["through_batch"], found["buckets"], offsets, frozenset(found["touched"]))


class Plans:
    """The batches that the lake knows of."""

    _known: Batch | None = None
    """The batch that was read or planned last."""

    def __init__(self, lake: Objects) -> None:
        self._lake = lake
        # Listed first: what is summed up in between is then in both, and not in neither.
        names = [name.removeprefix(FOLDER) for name in lake.sizes(FOLDER) if name != SUMMED_UP]
        self._sum = _Sum.from_json(lake.get_json(SUMMED_UP))
        numbers = {name: int(name.split(".")[0]) for name in names}
        later = {name: number for name, number in numbers.items() if number > self._sum.through}
        self._summed = [FOLDER + name for name in names if name not in later]
        self._planned = sorted(number for name, number in later.items() if not name.endswith(".done.json"))
        self._done = {number: _DONE_LATER for name, number in later.items() if name.endswith(".done.json")}

    def __len__(self) -> int:
        """The batches that are not summed up."""
        return len(self._planned)

    @property
    def last_done(self) -> int:
        """The number of the newest batch that is done; 0 before the first."""
        return max(self._done, default=self._sum.through)

    def unfinished(self) -> Batch | None:
        """A batch that was planned and never marked done."""
        left = [number for number in self._planned if number not in self._done]
        return self._read(left[0]) if left else None

    def next_offsets(self) -> dict[int, int]:
        """By partition, the first offset that is in no batch yet; partitions without any are left out."""
        if not self._planned:
            return dict(self._sum.next_offsets)
        newest = self._read(self._planned[-1])
        return {partition: span[1] for partition, span in newest.ranges.items()}

    def buckets(self) -> int | None:
        """Into how many buckets this lake is cut; None before its first batch."""
        if self._sum.buckets:
            return self._sum.buckets
        return self._read(self._planned[0]).buckets if self._planned else None

    def add(self, ranges: Mapping[int, Range], buckets: int) -> Batch:
        """Plan the next batch.

        Raises:
            Superseded: another run has planned it already.
        """
        number = max(self._planned, default=self._sum.through) + 1
        batch = Batch(number, buckets, ranges)
        self._lake.put_json(f"{FOLDER}{number:06d}.json", batch.to_json(), {"If-None-Match": "*"})
        # The batch of this number may be long done, and its object gone with those that were summed up.
        if _Sum.from_json(self._lake.get_json(SUMMED_UP)).through >= number:
            self._lake.remove(f"{FOLDER}{number:06d}.json")
            raise Superseded(
                "Another run has landed newer events in the meantime; this one has stopped and nothing is lost.\n"
                "Run `make process` again when the other has ended."
            )
        self._planned.append(number)
        self._known = batch
        return batch

    def mark_done(self, batch: Batch, landed: Landed) -> None:
        """Say that every object of a batch is written."""
        counts = {f"{bucket:02d}": count for bucket, count in sorted(landed.events_by_bucket.items())}
        done = {"events": landed.events, "misfits": landed.misfits, "events_by_bucket": counts}
        self._lake.put_json(f"{FOLDER}{batch.number:06d}.done.json", done)
        self._done[batch.number] = frozenset(landed.events_by_bucket)

    def touched_since(self, number: int) -> set[int]:
        """The buckets that got events in batches after this one."""
        touched = set(self._sum.touched) if number < self._sum.through else set()
        for later in sorted(done for done in self._done if done > number):
            touched |= self._touched(later)
        return touched

    def sum_up(self, through: int) -> None:
        """Keep of the batches up to one, which are done, only what they add up to."""
        old = [number for number in self._planned if number <= through]
        if old:
            ends = {partition: span[1] for partition, span in self._read(old[-1]).ranges.items()}
            touched = self._sum.touched.union(*map(self._touched, old))
            self._sum = _Sum(old[-1], self.buckets() or 0, ends, touched)
            self._lake.put_json(SUMMED_UP, self._sum.to_json())
            self._summed += [f"{FOLDER}{number:06d}{end}" for number in old for end in (".json", ".done.json")]
            self._planned = self._planned[len(old) :]
            self._done = {number: found for number, found in self._done.items() if number > through}
        for name in self._summed:
            self._lake.remove(name)
        self._summed = []

    def _touched(self, number: int) -> frozenset[int]:
        if self._done[number] is _DONE_LATER:
            found = self._lake.get_json(f"{FOLDER}{number:06d}.done.json")
            if found is None:
                raise ProcessError(f"What batch {number} holds has vanished from the lake while it was read.")
            self._done[number] = frozenset(int(bucket) for bucket in found["events_by_bucket"])
        return self._done[number]

    def _read(self, number: int) -> Batch:
        if self._known and self._known.number == number:
            return self._known
        found = self._lake.get_json(f"{FOLDER}{number:06d}.json")
        if found is None:
            raise ProcessError(f"The plan of batch {number} has vanished from the lake while it was read.")
        self._known = Batch.from_json(found)
        return self._known


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
