"""The dashboards' indices follow the lake."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from customer_profiles.contracts import DeadLetter
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.reader import MessageBatch, OffsetRange
from customer_profiles.lake.layout import SENT_COUNTS, event_counts_name
from customer_profiles.lake.parquet import to_parquet
from customer_profiles.processing import metrics
from customer_profiles.processing.metrics import DashboardMetrics
from customer_profiles.profiles.aggregate import build_profiles
from customer_profiles.profiles.event_counts import METRIC_SCHEMA, add_counts, count_events
from customer_profiles.profiles.segments import read_segments
from customer_profiles.search.client import ElasticsearchConfig
from tests.support import MemoryObjectStore, event, events


def metrics_of(store: MemoryObjectStore) -> DashboardMetrics:
    search = ElasticsearchConfig("http://127.0.0.1:9")
    return DashboardMetrics(store, search, KafkaConfig("127.0.0.1:9"))


@pytest.mark.parametrize(
    ("timestamp", "day"),
    [(-1, "1970-01-01"), (1_600_905_600_000, "2020-09-24"), (2**62, "9999-12-31")],
)
def test_dead_letters_of_any_time_and_content_are_counted(
    monkeypatch: pytest.MonkeyPatch, timestamp: int, day: str
) -> None:
    letter = DeadLetter("f.csv", 5, ["price_missing"], "text").to_json()
    values = [
        letter.encode(),
        b"[" * 10**5,
        letter.replace(": 5", ": 1e999").encode(),
        letter.replace(": 5", ": " + "9" * 5000).encode(),
        b"\xff",
        None,
    ]
    batch = MessageBatch(list(range(len(values))), values, timestamp)
    monkeypatch.setattr(metrics, "read_range", lambda *_: iter([batch]))
    counts = metrics_of(MemoryObjectStore())._count_dead_letters(OffsetRange(0, 0, len(values)))
    assert counts == {(day, "f.csv", "price_missing"): 1}


OLD_REVENUE = {"revenue": pl.Decimal(18, 4)}


def test_counts_that_an_older_version_sent_are_not_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = events(event(event_type="purchase"))
    profiles = build_profiles(rows, read_segments(), datetime(2026, 1, 1, tzinfo=UTC))
    counts = add_counts([count_events(rows, profiles)]).with_columns(brand=pl.lit("(none)"))
    store = MemoryObjectStore()
    store.put(event_counts_name(0), to_parquet(counts))
    store.put(SENT_COUNTS, to_parquet(counts.cast(OLD_REVENUE)[:1], {"index": "u"}))
    dashboard = metrics_of(store)
    sent: list[str] = []
    monkeypatch.setattr(dashboard._indices, "index_uuid", lambda _: "u")
    monkeypatch.setattr(dashboard._indices, "send", lambda _, documents: sent.extend(documents))
    dashboard._update_event_counts(range(1), [])
    assert len(sent) == counts.height - 1
    stored = pl.read_parquet(store.objects[SENT_COUNTS])
    assert_frame_equal(stored, counts)
    assert stored.schema == METRIC_SCHEMA
