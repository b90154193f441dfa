"""What a run did, for people and for programs."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path


class Stages:
    """How long the stages of a run take; they overlap, so their sum is more than the run."""

    def __init__(self) -> None:
        self.rows = 0
        """Rows that went through all of them."""
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Count what happens inside for a stage."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - began


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
    completed_line: int | None = None
    """The row that an earlier run saw cut at the end of the source and that is whole now; read once more."""
    reasons: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    events_per_second: float = 0.0
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    peak_memory_mb: float = 0.0
    """The most memory that the process had resident, in 10⁶ bytes."""

    @property
    def adds_up(self) -> bool:
        """read = accepted + dead-lettered + duplicates."""
        return self.read == self.accepted + self.dead_lettered + self.duplicates

    def finish(self, seconds: float, stages: Stages) -> None:
        """Take over how long the run took."""
        self.seconds = round(seconds, 3)
        self.events_per_second = _rate(self.read, seconds)
        self.stages = {
            name: {"seconds": round(spent, 3), "events_per_second": _rate(stages.rows, spent)}
            for name, spent in stages.seconds.items()
        }
        # Linux counts in KiB, macOS in bytes.
        unit = 1 if sys.platform == "darwin" else 1024
        self.peak_memory_mb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)

    def write(self, folder: Path) -> Path:
        """Leave the report as `ingest-latest.json`; returns its path."""
        return write_report(folder / "ingest-latest.json", asdict(self))


def write_report(path: Path, content: dict[str, object]) -> Path:
    """Leave a report, whole or not at all; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(content, indent=2) + "\n")
    beside.replace(path)
    return path


def _rate(rows: int, seconds: float) -> float:
    return round(rows / seconds, 1) if seconds > 0 else 0.0
