"""The synthetic file has the shape of the real one, and so has its report."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from customer_profiles.ingestion.inputs import FileInput
from customer_profiles.ingestion.pipeline import ingest
from customer_profiles.ingestion.sources import Source
from scripts.make_sample import REAL_ROWS, make_events

pytestmark = pytest.mark.no_cover


class Counting:
    """A publisher that only counts."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()

    def begin(self) -> None:
        """Nothing to open."""

    def send(self, topic: str, keys: pl.Series, values: pl.Series) -> None:
        assert len(keys) == len(values)
        self.sent[topic] += len(values)

    commit = abort = close = begin


def test_the_full_file_is_accounted_for(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    make_events(REAL_ROWS, 1).write_csv(path)
    broker = Counting()
    report = ingest(FileInput(path), Source("events.csv", None), broker, lambda *_: None)
    # 655 rows are exact repeats. Three of them lack their session, so they are rejected instead.
    assert (report.read, report.dead_lettered, report.duplicates) == (885_129, 165, 652)
    assert report.accepted == 885_129 - 165 - 652 == broker.sent["raw_events"]
    assert report.reasons == {"user_session_missing": 165}
    assert broker.sent["raw_events_dead_letter"] == 165
    assert set(report.stages) == {"read", "validate", "deduplicate", "encode", "send", "commit"}
    assert report.peak_memory_mb > 0
