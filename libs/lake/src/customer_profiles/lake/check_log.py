"""Does the batch log name every micro-batch that the rest of the lake knows of? Pure: no I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from customer_profiles.lake.findings import Finding, Kind, Remedy
from customer_profiles.lake.layout import CHECKPOINT, commit_name, plan_name


@dataclass(frozen=True, slots=True)
class LogView:
    """The numbers of the batches in a log."""

    checkpoint: int
    """The newest batch in the checkpoint; 0 without one."""
    planned: Collection[int]
    """The batches with plans of their own."""
    committed: Collection[int]
    """The batches with commits of their own."""

    @property
    def last_committed(self) -> int:
        """The newest batch that is committed; 0 before the first."""
        return max(self.committed, default=self.checkpoint)

    @property
    def newest(self) -> int:
        """The newest batch that the log names; 0 before the first."""
        return max(*self.planned, *self.committed, self.checkpoint, 0)


def check_log(log: LogView, newest_known: int) -> list[Finding]:
    """Look for micro-batches that should be planned and committed and are not.

    A batch that is planned and not committed is landed again. Only if the state or the manifest
    knows it as committed, its commit is lost.

    Args:
        log: the log.
        newest_known: the newest committed batch that the state or the manifest names.

    Returns:
        A finding for each missing plan or commit; one for several in a row that lack both.
    """
    committed_up_to = max(newest_known, log.last_committed)
    planned, committed = set(log.planned), set(log.committed)
    findings: list[Finding] = []
    lost: list[int] = []
    for number in range(log.checkpoint + 1, committed_up_to + 1):
        if number in planned and number in committed:
            continue
        if number in planned:
            if number > newest_known:
                continue
            findings.append(_missing(commit_name(number), number, number))
        elif number in committed:
            findings.append(_missing(plan_name(number), number, number))
        else:
            lost.append(number)
    findings += [_lost(log, first, last) for first, last in _spans(lost)]
    return findings


def _lost(log: LogView, first: int, last: int) -> Finding:
    """Return the finding for batches of which neither plan nor commit is there."""
    if first == log.checkpoint + 1 and last > first:
        # Plans and commits only disappear together when the checkpoint replaces them.
        if log.checkpoint:
            return Finding(Kind.OLDER, CHECKPOINT, Remedy.REPAIR, batches=(first, last))
        return _missing(CHECKPOINT, first, last)
    return _missing(plan_name(first), first, last, "with its commit")


def _missing(name: str, first: int, last: int, detail: str = "") -> Finding:
    return Finding(Kind.MISSING, name, Remedy.REPAIR, detail, batches=(first, last))


def _spans(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of each run of consecutive numbers."""
    for _, group in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        members = [number for _, number in group]
        yield members[0], members[-1]
