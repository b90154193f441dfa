"""Reports of an ingestion and of a redrive: what the run did, for people and for programs."""

from __future__ import annotations

import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


class StageTimes:
    """Seconds that each stage of a run takes. Stages overlap, so the sum exceeds the duration."""

    def __init__(self) -> None:
        self.rows = 0
        """Rows that went through all stages."""
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time of the `with` block to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - started


@dataclass(slots=True)
class IngestReport:
    """Counts of one ingestion: read = accepted + dead-lettered + duplicates."""

    file: str
    source: str = ""
    read: int = 0
    accepted: int = 0
    dead_lettered: int = 0
    duplicates: int = 0
    already_ingested: int = 0
    already_ingested_at: str | None = None
    completed_line: int | None = None
    """Number of the row that the previous run read as a cut last line and this run read whole."""
    reasons: dict[str, int] = field(default_factory=dict)
    normalised: dict[str, int] = field(default_factory=dict)
    """How many values of accepted rows were rewritten, by `contracts.Leniency`."""
    invalid_records: int = 0
    """Messages in the topic of progress that could not be read and had no effect."""
    seconds: float = 0.0
    events_per_second: float = 0.0
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    peak_memory_mb: float = 0.0
    """Peak resident memory of the process, in 10⁶ bytes."""

    @property
    def adds_up(self) -> bool:
        """Whether every row read is accepted, dead-lettered or a duplicate."""
        return self.read == self.accepted + self.dead_lettered + self.duplicates

    def add(self, counts: Mapping[str, int]) -> None:
        """Add the counts of a batch: `read`, `accepted`, `dead_lettered` and `duplicates`."""
        self.read += counts["read"]
        self.accepted += counts["accepted"]
        self.dead_lettered += counts["dead_lettered"]
        self.duplicates += counts["duplicates"]

    def finish(self, seconds: float, stage_times: StageTimes) -> None:
        """Fill in times and memory at the end of the run.

        Args:
            seconds: duration of the run.
            stage_times: durations of its stages.
        """
        self.seconds = round(seconds, 3)
        self.events_per_second = _rate(self.read, seconds)
        self.stages = {
            name: {
                "seconds": round(stage_seconds, 3),
                "events_per_second": _rate(stage_times.rows, stage_seconds),
            }
            for name, stage_seconds in stage_times.seconds.items()
        }
        # ru_maxrss is in KiB on Linux and in bytes on macOS.
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.peak_memory_mb = round(peak * unit / 1e6, 1)


@dataclass(slots=True)
class RedriveReport:
    """Counts of one redrive: selected = the sum of the five counts that follow it."""

    applied: bool
    selected: int = 0
    sent: int = 0
    """Without `applied`, what would be sent."""
    duplicates: int = 0
    already_replayed: int = 0
    unknown: int = 0
    """Rows of a corrected file whose id is not a dead letter's, or occurred before in the file."""
    still_rejected: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    """Why dead letters are still rejected."""
    invalid_messages: dict[str, int] = field(default_factory=dict)
    """Messages that could not be read, by topic."""
    seconds: float = 0.0

    @property
    def adds_up(self) -> bool:
        """Whether every selected dead letter is counted exactly once."""
        return self.selected == (
            self.sent + self.duplicates + self.already_replayed + self.unknown + self.still_rejected
        )


def _rate(rows: int, seconds: float) -> float:
    return round(rows / seconds, 1) if seconds > 0 else 0.0
