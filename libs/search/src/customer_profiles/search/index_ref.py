"""The identity of an index."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IndexRef:
    """One index. An index that is deleted and created again has the same name and another UUID."""

    name: str
    uuid: str

    @property
    def key(self) -> str:
        """Name and UUID, which no other index ever has."""
        return f"{self.name}.{self.uuid}"

    @property
    def number(self) -> int:
        """The number at the end of the name, or 0; newer indices have higher numbers."""
        digits = self.name.rpartition("-")[2]
        return int(digits) if digits.isdigit() else 0
