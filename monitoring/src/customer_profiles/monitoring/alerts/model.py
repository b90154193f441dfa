"""An alert, what the notifier remembers of it, and a message to people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self


class Severity(StrEnum):
    """How urgent an alert is."""

    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that people should know, as long as it lasts."""

    fingerprint: str
    """Identifies the alert while it lasts, such as `raw_events|volume`."""
    name: str
    """The kind of alert, in one word for rules and routes, such as `ServerDown`."""
    severity: Severity
    summary: str
    """One sentence: what, how much, what was expected, since when."""
    command: str
    """The command that shows more."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Names for grouping and routing. Never a customer."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the index `alerts`, such as `value` and `expected_low`."""


@dataclass(frozen=True, slots=True)
class AlertState:
    """What the notifier remembers of an alert that is firing, or whose end is not told yet."""

    alert: Alert
    since: datetime
    """When the notifier saw it first."""
    seen: datetime
    """When the notifier saw it last."""
    told: datetime | None = None
    """When people were told last that it is firing; None before the first message."""
    over: datetime | None = None
    """When it was over; None while it is firing."""

    def to_json(self) -> dict[str, Any]:
        """Return the state as the lake stores it."""
        alert = self.alert
        return {
            "fingerprint": alert.fingerprint,
            "name": alert.name,
            "severity": alert.severity.value,
            "summary": alert.summary,
            "command": alert.command,
            "labels": dict(alert.labels),
            "details": dict(alert.details),
            "since": _text(self.since),
            "seen": _text(self.seen),
            "told": _text(self.told),
            "over": _text(self.over),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read a stored state.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        alert = Alert(
            content["fingerprint"],
            content["name"],
            Severity(content["severity"]),
            content["summary"],
            content["command"],
            dict(content["labels"]),
            dict(content["details"]),
        )
        since, seen = (datetime.fromisoformat(content[name]) for name in ("since", "seen"))
        return cls(alert, since, seen, _moment(content["told"]), _moment(content["over"]))


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts that nobody wants to be told of for a while."""

    pattern: str
    """A fingerprint, or the beginning of one followed by `*`."""
    until: datetime

    def covers(self, alert: Alert, now: datetime) -> bool:
        """Tell whether people are not to be told of an alert."""
        if now >= self.until:
            return False
        if self.pattern.endswith("*"):
            return alert.fingerprint.startswith(self.pattern[:-1])
        return self.pattern in (alert.fingerprint, alert.name)

    def to_json(self) -> dict[str, Any]:
        """Return the silence as the lake stores it."""
        return {"pattern": self.pattern, "until": _text(self.until)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read a stored silence.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        return cls(str(content["pattern"]), datetime.fromisoformat(content["until"]))


@dataclass(frozen=True, slots=True)
class NotifierState:
    """The object `_state/alerts.json`."""

    alerts: tuple[AlertState, ...] = ()
    """In the order in which they were seen first."""
    silences: tuple[Silence, ...] = ()
    sent: datetime | None = None
    """When the last message went out."""
    sending_until: datetime | None = None
    """A process is sending a message; another one leaves that to it until then."""

    def to_json(self) -> dict[str, Any]:
        """Return the object's content."""
        return {
            "alerts": [state.to_json() for state in self.alerts],
            "silences": [silence.to_json() for silence in self.silences],
            "sent": _text(self.sent),
            "sending_until": _text(self.sending_until),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read the object's content.

        Raises:
            KeyError, TypeError, ValueError: it is another object.
        """
        return cls(
            tuple(map(AlertState.from_json, content["alerts"])),
            tuple(map(Silence.from_json, content["silences"])),
            _moment(content["sent"]),
            _moment(content["sending_until"]),
        )


@dataclass(frozen=True, slots=True)
class Message:
    """One message to people about everything that has changed."""

    new: tuple[AlertState, ...] = ()
    lasting: tuple[AlertState, ...] = ()
    """Told before, and due to be told again."""
    over: tuple[AlertState, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.new or self.lasting or self.over)


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
