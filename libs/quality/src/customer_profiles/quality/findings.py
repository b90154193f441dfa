"""What a check found: one finding per check, field and event day, for people and for alerts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Self


class Severity(StrEnum):
    """What a finding is for: to be looked at, to fail a command, or to hold a batch back."""

    WARN = "warn"
    FAIL = "fail"
    QUARANTINE = "quarantine"


class State(StrEnum):
    """The state of one check on one day, as `quality_metrics` shows it."""

    OK = "ok"
    WARMING_UP = "warming_up"
    """There are too few earlier days to know what is normal."""
    WARN = "warn"
    FAIL = "fail"
    QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class Finding:
    """A value that is not what it should be."""

    check: str
    """The id of the check in the contract, such as `volume` or `null_share`."""
    dataset: str
    """The table of the contract: `raw_events` or `data_lake`."""
    field: str | None
    """The column, event type, category or reason that the check is about, if there are several."""
    day: date
    """The event day (UTC)."""
    severity: Severity
    value: float
    expected: float | None
    """What was expected; None for a threshold by hand."""
    expected_low: float | None
    expected_high: float | None
    since: date
    """The first day of the same finding without a day between that was normal."""
    times_before: int
    """Earlier periods with the same finding."""
    message: str
    """One sentence: what, how much, and what was expected."""
    command: str
    """The command that shows the rows."""
    labels: Mapping[str, str] = dataclass_field(default_factory=dict)
    """Further names for grouping, such as `source`. Never a customer."""
    explained_by: str | None = None
    """The check whose finding of the same day and source explains this one.

    None for a finding that stands for itself. Alerts can leave out the others."""

    @property
    def fingerprint(self) -> str:
        """Identify the finding over days: the same check of the same field and labels."""
        parts = [self.dataset, self.check, self.field or ""]
        parts += [f"{name}={value}" for name, value in sorted(self.labels.items())]
        return "|".join(parts)

    @property
    def document_id(self) -> str:
        """Identify the finding of one day."""
        return f"{self.fingerprint}|{self.day.isoformat()}"

    def to_json(self) -> dict[str, Any]:
        """Return the finding as it is stored in the lake and in the index `quality_findings`."""
        return {
            "check": self.check,
            "dataset": self.dataset,
            "field": self.field,
            "day": self.day.isoformat(),
            "severity": self.severity.value,
            "value": self.value,
            "expected": self.expected,
            "expected_low": self.expected_low,
            "expected_high": self.expected_high,
            "since": self.since.isoformat(),
            "times_before": self.times_before,
            "message": self.message,
            "command": self.command,
            "labels": dict(self.labels),
            "explained_by": self.explained_by,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read a stored finding.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        return cls(
            check=str(content["check"]),
            dataset=str(content["dataset"]),
            field=content["field"],
            day=date.fromisoformat(content["day"]),
            severity=Severity(content["severity"]),
            value=float(content["value"]),
            expected=content["expected"],
            expected_low=content["expected_low"],
            expected_high=content["expected_high"],
            since=date.fromisoformat(content["since"]),
            times_before=int(content["times_before"]),
            message=str(content["message"]),
            command=str(content["command"]),
            labels=dict(content["labels"]),
            explained_by=content["explained_by"],
        )


@dataclass(frozen=True, slots=True)
class OpenFindings:
    """The object `quality/open.json`: what the newest evaluation says.

    A finding that is no longer among them is over.
    """

    evaluated_through: date | None
    """The newest closed event day; None before the first."""
    findings: tuple[Finding, ...] = ()
    """Those of that day first, then the news about older days."""
    known: Mapping[str, float] = dataclass_field(default_factory=dict)
    """The values of all findings of closed days, by `Finding.document_id`."""
    through_batch: int = 0
    """The newest micro-batch that was evaluated."""
    evaluated_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the object's content."""
        day, moment = self.evaluated_through, self.evaluated_at
        return {
            "evaluated_through": day.isoformat() if day else None,
            "findings": [finding.to_json() for finding in self.findings],
            "known": dict(self.known),
            "through_batch": self.through_batch,
            "evaluated_at": moment.isoformat(timespec="seconds") if moment else None,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read the object's content.

        Raises:
            KeyError, TypeError, ValueError: it is another object.
        """
        day, moment = content["evaluated_through"], content.get("evaluated_at")
        return cls(
            date.fromisoformat(day) if day else None,
            tuple(map(Finding.from_json, content["findings"])),
            {str(key): float(value) for key, value in content.get("known", {}).items()},
            int(content.get("through_batch", 0)),
            datetime.fromisoformat(moment) if moment else None,
        )


def worst(findings: Iterable[Finding]) -> Severity | None:
    """Return the most severe severity; None without findings."""
    order = list(Severity)
    return max((finding.severity for finding in findings), key=order.index, default=None)
