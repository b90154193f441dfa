"""The lake's record of rejected rows: how far the dead letters are counted, and the counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from customer_profiles.contracts.messages import is_count
from customer_profiles.lake.layout import REJECTED_ROWS
from customer_profiles.lake.object_store import ObjectStore

RowKey = tuple[str, str, str]
"""Day (ISO 8601, UTC), source and reason."""


@dataclass(frozen=True, slots=True)
class RejectedCounts:
    """The object `_state/rejected_rows.json`."""

    next_offsets: Mapping[str, int] = field(default_factory=dict)
    """By partition as text, the first offset that is not counted yet."""
    counts: Mapping[RowKey, int] = field(default_factory=dict)
    """The number of rows by day, source and reason."""
    topic_id: str | None = None
    """Kafka's id of the topic that the offsets belong to; None if nobody noted it."""

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read the object's content.

        Raises:
            KeyError, TypeError, ValueError: it is another object, or a value is of another kind.
        """
        offsets = {
            str(int(partition)): _whole(end) for partition, end in content["next_offsets"].items()
        }
        counts = {
            (str(day), str(source), str(reason)): _whole(rows)
            for day, source, reason, rows in content["counts"]
        }
        topic_id = content.get("topic_id")
        return cls(offsets, counts, None if topic_id is None else str(topic_id))

    @classmethod
    def load(cls, store: ObjectStore) -> Self:
        """Read the record; nothing is counted where there is none.

        Raises:
            DamagedObjectError: the object is not what was written.
        """
        return store.get_record(REJECTED_ROWS, cls.from_json) or cls()

    def save(self, store: ObjectStore) -> None:
        """Write the record to the lake."""
        rows = [[*key, count] for key, count in sorted(self.counts.items())]
        content = {"next_offsets": dict(self.next_offsets), "counts": rows}
        store.put_json(
            REJECTED_ROWS, content | ({"topic_id": self.topic_id} if self.topic_id else {})
        )


def _whole(value: object) -> int:
    if not is_count(value):
        raise ValueError(value)
    return value
