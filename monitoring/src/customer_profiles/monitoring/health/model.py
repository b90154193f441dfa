"""The state of each component, and the worst of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How healthy a component is, from the best to the worst."""

    OK = "ok"
    DEGRADED = "degraded"
    """It works, and something waits for a person: dashboards behind, a rebuild unfinished."""
    DOWN = "down"

    @property
    def rank(self) -> int:
        """0 for the best one."""
        return list(Status).index(self)


EXIT_CODES = {Status.OK: 0, Status.DEGRADED: 3, Status.DOWN: 4}
"""The exit code of `health` by the worst status. 1 stays for a command that fails itself."""


@dataclass(frozen=True, slots=True)
class Component:
    """The health of one part of the pipeline."""

    name: str
    status: Status
    message: str
    """One line for people."""
    command: str = ""
    """What to do; empty if there is nothing to do."""
    numbers: dict[str, float] = field(default_factory=dict)
    """What was measured, such as `lag_seconds`."""

    def to_json(self) -> dict[str, Any]:
        """Return the component as `make health FORMAT=json` prints it."""
        content: dict[str, Any] = {
            "name": self.name,
            "status": self.status.value,
            "message": self.message,
        }
        if self.command:
            content["next"] = self.command
        return content | ({"numbers": self.numbers} if self.numbers else {})


def worst(components: Iterable[Component]) -> Status:
    """Return the worst status; OK without components."""
    return max(
        (component.status for component in components),
        key=lambda status: status.rank,
        default=Status.OK,
    )
