"""The identity of an index."""

from __future__ import annotations

from dataclasses import dataclass

DOCUMENT_FORMAT = 3
"""The format of documents of profiles. Format 2 has `category` and `brand`, and 3 `event_days`.

Progress is kept by format, so the next run indexes every profile again after a change."""


@dataclass(frozen=True, slots=True)
class IndexRef:
    """One index. An index that is deleted and created again has the same name and another UUID."""

    name: str
    uuid: str

    @property
    def key(self) -> str:
        """Name and UUID, which no other index ever has, and the format of its documents."""
        return f"{self.name}.{self.uuid}.{DOCUMENT_FORMAT}"

    @property
    def number(self) -> int:
        """The number at the end of the name, or 0; newer indices have higher numbers."""
        digits = self.name.rpartition("-")[2]
        return int(digits) if digits.isdigit() else 0
