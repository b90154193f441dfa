"""What a run did, for people and for programs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Report:
    """Counts of one run; every row read ends in exactly one of the others."""

    file: str
    source: str = ""
    read: int = 0
    accepted: int = 0
    dead_lettered: int = 0
    duplicates: int = 0
    already_ingested: int = 0
    already_ingested_at: str | None = None
    reasons: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    events_per_second: float = 0.0
    seconds_by_stage: dict[str, float] = field(default_factory=dict)

    @property
    def adds_up(self) -> bool:
        """read = accepted + dead-lettered + duplicates."""
        return self.read == self.accepted + self.dead_lettered + self.duplicates

    def write(self, folder: Path) -> Path:
        """Leave the report as `ingest-latest.json`; returns its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "ingest-latest.json"
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(asdict(self), indent=2) + "\n")
        beside.replace(path)
        return path
