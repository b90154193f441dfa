"""Micro-batches whose profiles wait for a decision: the object `_state/quarantine.json`.

`make quality` writes the checks of severity `quarantine` into it. A run judges every micro-batch by
them after it has landed, and holds the first one back that fails: profiles then end before that
batch, so later ones wait, too. `make quality ACCEPT=…` lets it pass. A lake without the object
holds nothing back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from customer_profiles.common.errors import PipelineError
from customer_profiles.lake.errors import WriteConflictError
from customer_profiles.lake.layout import QUARANTINE
from customer_profiles.lake.object_store import ObjectStore, parse_record

ATTEMPTS = 20
"""Of a change, while other processes change the object, too."""
WAITING_NOTE = "quarantine.txt"
"""The file beside the reports with `waiting_lines`, which `make status` shows."""
MAX_ACCEPTED = 1_000
"""Accepted batches that are remembered. Profiles include the older ones."""


@dataclass(frozen=True, slots=True)
class HeldBatch:
    """The oldest micro-batch that waits. All later ones wait with it."""

    batch: int
    since: str
    """When it was held back; ISO 8601, UTC."""
    reasons: tuple[str, ...]
    """What failed: one sentence for each finding."""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The object's content."""

    checks: tuple[Mapping[str, Any], ...] = ()
    """The checks, as `quality.quarantine` writes and reads them."""
    special_days: tuple[str, ...] = ()
    """Days of the calendar, on which nothing that is learned is judged; ISO 8601."""
    held: HeldBatch | None = None
    """None if nothing waits."""
    accepted: tuple[int, ...] = ()
    """Micro-batches that somebody has accepted, in ascending order."""

    def last_profiled(self, last_committed: int) -> int:
        """Return the newest micro-batch that profiles may include."""
        return min(last_committed, self.held.batch - 1) if self.held else last_committed

    def with_held(self, held: HeldBatch) -> Self:
        """Hold a batch back, unless one waits already, or somebody has just accepted it."""
        if self.held is not None or held.batch in self.accepted:
            return self
        return replace(self, held=held)

    def with_accepted(self, batch: int) -> Self:
        """Let the batch that waits pass.

        Raises:
            PipelineError: this batch does not wait.
        """
        if self.held is None or self.held.batch != batch:
            waits = f"Batch {self.held.batch} does." if self.held else "No batch does."
            raise PipelineError(
                f"Batch {batch} does not wait for a decision. {waits}\n`make summary` shows it."
            )
        accepted = sorted({*self.accepted, batch})[-MAX_ACCEPTED:]
        return replace(self, held=None, accepted=tuple(accepted))

    def to_json(self) -> dict[str, Any]:
        """Return the object's content."""
        held = self.held
        return {
            "checks": [dict(check) for check in self.checks],
            "special_days": list(self.special_days),
            "held": held
            and {"batch": held.batch, "since": held.since, "reasons": list(held.reasons)},
            "accepted": list(self.accepted),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read the object's content.

        Raises:
            KeyError, TypeError, ValueError: it is another object.
        """
        held = content["held"]
        return cls(
            tuple(dict(check) for check in content["checks"]),
            tuple(map(str, content["special_days"])),
            held
            and HeldBatch(int(held["batch"]), str(held["since"]), tuple(map(str, held["reasons"]))),
            tuple(map(int, content["accepted"])),
        )


def read_quarantine(store: ObjectStore) -> Quarantine | None:
    """Read the object; None for a lake that holds nothing back.

    Raises:
        DamagedObjectError: it is not what was written.
    """
    return store.get_record(QUARANTINE, Quarantine.from_json)


def change_quarantine(store: ObjectStore, change: Callable[[Quarantine], Quarantine]) -> Quarantine:
    """Replace the object by a changed one, computed again if another process was faster.

    Returns:
        What the lake has now. Nothing is written if nothing changes.

    Raises:
        DamagedObjectError: the object is not what was written.
        WriteConflictError: other processes were faster all the time.
    """
    for attempt in range(ATTEMPTS):
        stored = store.get(QUARANTINE)
        before = parse_record(QUARANTINE, stored, Quarantine.from_json) if stored else Quarantine()
        after = change(before)
        if after == before:
            return before
        etag = stored.etag if stored else None
        try:
            store.put_json(QUARANTINE, after.to_json(), if_match=etag, if_absent=etag is None)
        except WriteConflictError:
            if attempt == ATTEMPTS - 1:
                raise
        else:
            return after
    raise AssertionError("unreachable")


def waiting_lines(quarantine: Quarantine | None, last_committed: int, events: int) -> list[str]:
    """Say for people what waits, why, and which command decides; nothing gives no lines.

    Args:
        quarantine: the object; None for a lake without one.
        last_committed: the newest micro-batch.
        events: the stored events that wait.
    """
    held = quarantine.held if quarantine else None
    if held is None:
        return []
    last = max(held.batch, last_committed)
    batches = f"batch {last}" if last == held.batch else f"batches {held.batch} to {last}"
    return [
        f"The profiles lack {batches} ({events:,} events, all in the lake): "
        f"batch {held.batch} waits for a decision since {held.since}.",
        *(f"  {reason}" for reason in held.reasons),
        f"`make quality ACCEPT={held.batch}` lets it pass; then run `make process`.",
    ]
