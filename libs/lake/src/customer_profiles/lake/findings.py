"""What a check of the lake finds: one small record for each difference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from customer_profiles.common.errors import PipelineError
from customer_profiles.lake.errors import DamagedObjectError


class Kind(StrEnum):
    """What is wrong."""

    MISSING = "missing"
    """An object that should be there is not."""
    OLDER = "older"
    """An object is an earlier version of itself."""
    REPLACED = "replaced"
    """An object is not the one that was written, and carries nothing by which to judge it."""
    DAMAGED = "damaged"
    """The content of an object is not what was written."""
    UNPLANNED = "unplanned"
    """An object belongs to a micro-batch that no plan names."""
    INCOMPLETE = "incomplete"
    """A bucket has fewer or more events than its micro-batches brought."""
    INDEX_AHEAD = "index-ahead"
    """The index has profiles of micro-batches that the lake does not have."""


class Remedy(StrEnum):
    """The command that mends it."""

    PROCESS = "make process"
    """A normal run mends it by itself, from what is whole in the lake."""
    REPAIR = "make repair"
    REBUILD = "make rebuild"
    QUALITY = "make quality"
    """It is written again by the next evaluation of data quality."""
    NEW_TOPIC = "make process NEW_TOPIC=1"
    """Go on with a topic that is not the one of before."""
    NONE = "nothing"
    """The lake is whole, and what differs cannot be mended."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference between the lake and what it should be."""

    kind: Kind
    object: str
    """The name of the object. For an index, its name."""
    remedy: Remedy
    detail: str = ""
    """What else is known, as a clause without a full stop."""
    bucket: int | None = None
    batches: tuple[int, int] | None = None
    """The first and the last micro-batch that are affected."""
    events: int | None = None
    """The events that the object should hold, or by which a bucket is short."""
    customers: int | None = None
    """The customers of the bucket, as far as known."""

    @property
    def stops_runs(self) -> bool:
        """Whether a run must not go on, because its result would be wrong."""
        return self.remedy is not Remedy.PROCESS

    def __str__(self) -> str:
        """Return one line for people: the object, what is wrong, and how much it concerns."""
        words = {
            Kind.MISSING: "is missing",
            Kind.OLDER: "is older than the lake's state",
            Kind.REPLACED: "is not the object that was written",
            Kind.DAMAGED: "is damaged",
            Kind.UNPLANNED: "belongs to no planned micro-batch",
            Kind.INCOMPLETE: "does not hold the events of its micro-batches",
            Kind.INDEX_AHEAD: "has newer profiles than the lake",
        }
        facts = [self.detail] if self.detail else []
        if self.batches:
            first, last = self.batches
            facts.append(f"batch {first}" if first == last else f"batches {first} to {last}")
        if self.events is not None:
            facts.append(f"{self.events:,} events")
        if self.customers is not None:
            facts.append(f"{self.customers:,} customers in this bucket")
        return f"{self.object} {words[self.kind]}" + (f" ({', '.join(facts)})" if facts else "")

    def to_json(self) -> dict[str, Any]:
        """Return the finding for a report; unknown facts are left out."""
        return {key: value for key, value in asdict(self).items() if value not in (None, "")}

    @classmethod
    def of_damage(cls, error: DamagedObjectError, remedy: Remedy, **facts: Any) -> Finding:
        """Return the finding for an object that could not be read.

        Args:
            error: what `ObjectStore.get` raised.
            remedy: the command that mends it.
            facts: other fields of the finding.
        """
        return cls(Kind.DAMAGED, error.name, remedy, error.problem, **facts)


class LakeDamagedError(PipelineError):
    """Something is missing from the lake, so going on would give wrong results."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        """Name every finding, and the command that mends them."""
        commands = sorted({f"`{finding.remedy}`" for finding in findings if finding.stops_runs})
        super().__init__(
            "The lake is not as the last run left it, and nothing was changed:\n"
            f"{describe(findings)}\n"
            f"Run {' and '.join(commands)}. `make verify` checks all of the lake."
        )
        self.findings = tuple(findings)

    def __reduce__(self) -> tuple[type[LakeDamagedError], tuple[tuple[Finding, ...]]]:
        """Pickle the findings: a task's error may travel between processes."""
        return type(self), (self.findings,)


def describe(findings: Iterable[Finding]) -> str:
    """Return the findings for people, one line each, indented by two spaces."""
    return "\n".join(f"  {finding}" for finding in findings)


def by_bucket(findings: Iterable[Finding]) -> Mapping[int, list[Finding]]:
    """Return the findings that concern single buckets, by bucket."""
    groups: dict[int, list[Finding]] = {}
    for finding in findings:
        if finding.bucket is not None:
            groups.setdefault(finding.bucket, []).append(finding)
    return groups
