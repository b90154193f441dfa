"""Dead letters: rows and messages that are not events, as `raw_events_dead_letter` holds them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from customer_profiles.contracts.event import SCHEMA_VERSION

BREAKS_CONTRACT = "breaks_contract"
"""The reason of an invalid message, which some other program published to `raw_events`."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What was rejected, where it was and why."""

    source: str
    """The source of a row, or the topic and partition of a message."""
    source_row: int
    """The number of the row in its source, or the offset of the message."""
    reasons: list[str]
    """All reasons: values of `contracts.Reason`, or `BREAKS_CONTRACT`."""
    text: str
    """The original line or message. Bytes that are not UTF-8 are written as \\xe9."""
    columns: list[str] | None = None
    """The columns of a row, in the order of its source. None for a message."""
    detail: str | None = None
    """How a message breaks the contract. None for a row."""
    schema_version: int = SCHEMA_VERSION
    separator: str = ","
    """The character between two fields of a row. A stored letter has this field only if needed."""

    def to_json(self) -> str:
        """Encode the letter as the value of a Kafka message."""
        record = asdict(self)
        if self.separator == ",":
            del record["separator"]
        return json.dumps(record, ensure_ascii=False)

    @classmethod
    def from_json(cls, data: bytes | str) -> DeadLetter:
        """Decode a letter. Unknown fields are dropped.

        Raises:
            ValueError: The data is not JSON, or lacks a field that every letter has.
        """
        record = json.loads(data)
        try:
            return cls(
                source=str(record["source"]),
                source_row=int(record["source_row"]),
                reasons=[str(reason) for reason in record["reasons"]],
                text=str(record["text"]),
                columns=record.get("columns"),
                detail=record.get("detail"),
                separator=str(record.get("separator") or ","),
            )
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a dead letter: {error!r}") from error
