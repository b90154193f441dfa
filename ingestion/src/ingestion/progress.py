"""How far each source has come, as records in the compacted topic `ingest_progress`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """One source; the record is committed in the same transaction as the rows that it counts."""

    source: str
    """The file's name, with a number where another file of that name came before."""
    end: int
    """Bytes of the source, decompressed, that are in the topics."""
    digest: str
    """SHA-256 of those bytes: the source is known by its content, wherever it lies."""
    read: int
    accepted: int
    dead_lettered: int
    duplicates: int
    updated_at: str
    """ISO 8601, UTC."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, data: bytes | str) -> Progress:
        return cls(**json.loads(data))


def new_name(file_name: str, known: Iterable[str]) -> str:
    """A name for a source that nobody has yet: `events.csv`, `events.csv#2`, …"""
    taken = set(known)
    number, name = 1, file_name
    while name in taken:
        number += 1
        name = f"{file_name}#{number}"
    return name
