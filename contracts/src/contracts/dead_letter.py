"""A row or a message that is no event, as it stands in `raw_events_dead_letter`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from contracts.event import SCHEMA_VERSION

BREAKS_CONTRACT = "breaks_contract"
"""The reason of a message that somebody else published to `raw_events`."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What was rejected, where it stood and why."""

    source: str
    """The source of a row, or topic and partition of a message."""
    source_row: int
    """The row's number in its source, or the message's offset."""
    reasons: list[str]
    """All of them: names of `contracts.Reason`, or `BREAKS_CONTRACT`."""
    text: str
    """The original line, or the message; bytes that are not UTF-8 as \\xe9."""
    columns: list[str] | None = None
    """The columns of a line, in the order of its source; none for a message."""
    detail: str | None = None
    """Where a message breaks the contract."""
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, data: bytes | str) -> DeadLetter:
        """Read a letter; fields that this version does not know are left out.

        Raises:
            ValueError: not JSON, or without the fields that every letter has.
        """
        found = json.loads(data)
        try:
            return cls(
                source=str(found["source"]),
                source_row=int(found["source_row"]),
                reasons=[str(reason) for reason in found["reasons"]],
                text=str(found["text"]),
                columns=found.get("columns"),
                detail=found.get("detail"),
            )
        except (TypeError, KeyError) as error:
            raise ValueError(f"no dead letter: {error!r}") from error
