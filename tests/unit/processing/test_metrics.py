"""The dashboards' indices: what is sent to them, and what their failures lead to."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from customer_profiles.contracts import DEAD_LETTERS, DeadLetter, InvalidMessages, Topic
from customer_profiles.kafka.admin import TopicState
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.reader import MessageBatch, OffsetRange
from customer_profiles.lake.layout import REJECTED_ROWS, SENT_COUNTS, event_counts_name
from customer_profiles.lake.parquet import to_parquet
from customer_profiles.lake.profiles import write_event_counts
from customer_profiles.processing import metrics
from customer_profiles.processing.metrics import DashboardMetrics
from customer_profiles.processing.sent_counts import COUNTS_FORMAT
from customer_profiles.profiles.aggregate import build_profiles
from customer_profiles.profiles.event_counts import (
    METRIC_SCHEMA,
    OTHER,
    TOP_BRANDS,
    add_counts,
    count_events,
)
from customer_profiles.profiles.segments import read_segments
from customer_profiles.search.client import ElasticsearchConfig
from customer_profiles.search.errors import IndexUnavailableError
from tests.support import MemoryObjectStore, event, events
from tests.unit.processing.fakes import PRODUCED_MS, FakeMetricsIndices, FakeTopics

DAY = datetime(2020, 9, 24, tzinfo=UTC)
DAY_MS = 24 * 60 * 60 * 1000


class Dashboards:
    """The lake, the topics and the indices that dashboards show."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = MemoryObjectStore()
        self.indices = FakeMetricsIndices()
        self.topics = FakeTopics()
        self.topics.install(monkeypatch)
        monkeypatch.setattr(metrics, "MetricsIndices", lambda _: self.indices)

    def connect(self) -> DashboardMetrics:
        """Return what another process would use."""
        no_address: Any = None
        return DashboardMetrics(self.store, no_address, no_address)

    def count(self, bucket: int, **events_by_brand: int) -> None:
        """Write the event counts of a bucket."""
        rows = [
            {
                "granularity": "day",
                "time": DAY,
                "event_type": "view",
                "category": "electronics",
                "brand": brand,
                "customer_segment": "Casual Visitor",
                "events": events,
                "revenue": Decimal(events),
            }
            for brand, events in events_by_brand.items()
        ]
        write_event_counts(self.store, bucket, pl.DataFrame(rows, schema=METRIC_SCHEMA), 1)

    def events(self) -> dict[str, int]:
        """Return what the index says of each brand."""
        documents = self.indices.documents["event_metrics"].values()
        return {document["brand"] or OTHER: document["events"] for document in documents}

    def sent(self, index: str) -> list[tuple[str, str]]:
        """Return the action and the id of what was sent to an index since the last call."""
        sent = [
            (action, name) for name_of, action, name in self.indices.actions if name_of == index
        ]
        self.indices.actions.clear()
        return sent

    def rejected(self) -> dict[str, int]:
        """Return the rejected rows by document."""
        documents = self.indices.documents["rejected_rows"]
        return {document_id: document["rows"] for document_id, document in documents.items()}


@pytest.fixture
def dashboards(monkeypatch: pytest.MonkeyPatch) -> Dashboards:
    return Dashboards(monkeypatch)


def letter(*reasons: str, source: str = "f.csv") -> bytes:
    return DeadLetter(source, 3, list(reasons), "text").to_json().encode()


def test_counts_of_all_buckets_are_added_up(dashboards: Dashboards) -> None:
    dashboards.count(0, acme=2, other=1)
    dashboards.count(2, acme=3)
    assert dashboards.connect().update(range(4), (0, 2))
    assert dashboards.events() == {"acme": 5, "other": 1}
    (acme,) = [
        document
        for document in dashboards.indices.documents["event_metrics"].values()
        if document["brand"] == "acme"
    ]
    assert acme == {
        "granularity": "day",
        "time": "2020-09-24T00:00:00Z",
        "event_type": "view",
        "category": "electronics",
        "brand": "acme",
        "customer_segment": "Casual Visitor",
        "events": 5,
        "revenue": 5.0,
    }


def test_only_differences_are_sent(dashboards: Dashboards) -> None:
    dashboards.count(0, acme=1, bolt=1)
    dashboards.count(1, coil=1)
    client = dashboards.connect()
    client.update(range(2), (0, 1))
    assert len(dashboards.sent("event_metrics")) == 3
    client.update(range(2), ())
    assert dashboards.sent("event_metrics") == []
    dashboards.count(0, acme=4, dyne=1)
    client.update(range(2), [0])
    day = "day|2020-09-24T00:00:00Z|view|electronics"
    assert dashboards.sent("event_metrics") == [
        ("index", f"{day}|acme|Casual Visitor"),
        ("index", f"{day}|dyne|Casual Visitor"),
        ("delete", f"{day}|bolt|Casual Visitor"),
    ]
    assert dashboards.events() == {"acme": 4, "coil": 1, "dyne": 1}


def test_another_process_sends_no_more_than_the_differences(dashboards: Dashboards) -> None:
    dashboards.count(0, acme=1, bolt=1)
    dashboards.connect().update([0], [0])
    dashboards.sent("event_metrics")
    dashboards.count(0, acme=1, bolt=2)
    dashboards.connect().update([0], ())
    ((action, document_id),) = dashboards.sent("event_metrics")
    assert (action, "bolt" in document_id) == ("index", True)


def test_a_bucket_that_is_not_named_as_changed_is_not_read_again(dashboards: Dashboards) -> None:
    dashboards.count(0, acme=1)
    client = dashboards.connect()
    client.update([0], [0])
    dashboards.count(0, acme=7)
    client.update([0], ())
    assert dashboards.events() == {"acme": 1}
    client.update([0], [0])
    assert dashboards.events() == {"acme": 7}


def test_rare_brands_are_counted_together(dashboards: Dashboards) -> None:
    frequent = {f"brand{number:02d}": 10 for number in range(TOP_BRANDS)}
    dashboards.count(0, **frequent, rare=1)
    dashboards.count(1, seldom=2)
    dashboards.connect().update(range(2), (0, 1))
    assert dashboards.events() == {**frequent, OTHER: 3}


@pytest.mark.parametrize("taken", [0, 1, 2, 3])
def test_sending_that_was_interrupted_is_done_again(dashboards: Dashboards, taken: int) -> None:
    dashboards.count(0, acme=1, bolt=1)
    client = dashboards.connect()
    client.update([0], [0])
    dashboards.count(0, acme=2, coil=1, dyne=1)
    dashboards.indices.sends_left = taken
    assert not client.update([0], [0])
    dashboards.indices.sends_left = None
    # Undo the change, so that rows in flight cannot pass for rows that the index has.
    dashboards.count(0, acme=1, bolt=1)
    assert dashboards.connect().update([0], [0])
    assert dashboards.events() == {"acme": 1, "bolt": 1}


def test_an_index_that_was_made_anew_gets_everything(dashboards: Dashboards) -> None:
    dashboards.count(0, acme=1, bolt=1)
    dashboards.connect().update([0], [0])
    dashboards.indices.delete("event_metrics")
    dashboards.connect().update([0], ())
    assert dashboards.events() == {"acme": 1, "bolt": 1}


def test_a_failure_is_logged_and_does_not_raise(
    dashboards: Dashboards, caplog: pytest.LogCaptureFixture
) -> None:
    dashboards.indices.failures = [IndexUnavailableError("No answer.\nRun `make status`.")] * 2
    client = dashboards.connect()
    with caplog.at_level(logging.WARNING):
        assert client.update([0], [0]) is False
        client.record_run("process", {"events": 1})
    assert [record.getMessage() for record in caplog.records] == [
        "The dashboards are behind: No answer."
    ] * 2
    assert {vars(record)["event"] for record in caplog.records} == {"dashboards_behind"}
    assert client.update([0], [0]) is True


def test_an_outage_is_told_once_and_so_is_its_end(
    dashboards: Dashboards, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    dashboards.indices.failures = [IndexUnavailableError("No answer.\nRun `make status`.")] * 3
    client = dashboards.connect()
    for number in range(5):
        client.record_run("stream", {"batch": number})
    assert [record.getMessage() for record in caplog.records] == [
        "The dashboards are behind: No answer.",
        "the dashboards catch up, after 0 s",
    ]


def test_a_kafka_that_does_not_answer_is_logged_too(
    dashboards: Dashboards, caplog: pytest.LogCaptureFixture
) -> None:
    dashboards.topics.unavailable = True
    dashboards.count(0, acme=1)
    assert not dashboards.connect().update([0], [0])
    assert "The dashboards are behind: Kafka does not answer." in caplog.text
    # Event counts need no Kafka.
    assert dashboards.events() == {"acme": 1}


def test_an_error_of_the_program_is_not_hidden(
    dashboards: Dashboards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboards.indices, "index_uuid", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        dashboards.connect().update([0], [0])


def test_preparation_creates_indices_and_counts_rejected_rows(dashboards: Dashboards) -> None:
    dashboards.topics.produce(letter("bad_time"), topic=DEAD_LETTERS)
    client = dashboards.connect()
    client.prepare_in_background()
    client.record_run("process", {})
    assert set(dashboards.rejected().values()) == {1}
    assert set(dashboards.indices.documents) == {"event_metrics", "pipeline_runs", "rejected_rows"}


def test_a_preparation_that_failed_is_repeated(
    dashboards: Dashboards, caplog: pytest.LogCaptureFixture
) -> None:
    dashboards.indices.failures = [IndexUnavailableError("No answer")]
    dashboards.count(0, acme=1)
    client = dashboards.connect()
    client.prepare_in_background()
    with caplog.at_level(logging.WARNING):
        assert client.update([0], [0])
    assert caplog.records == []
    assert dashboards.events() == {"acme": 1}


def test_indices_are_created_once(dashboards: Dashboards, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    ensure = dashboards.indices.ensure
    monkeypatch.setattr(dashboards.indices, "ensure", lambda: (calls.append("ensure"), ensure()))
    client = dashboards.connect()
    client.prepare_in_background()
    for _ in range(2):
        client.update([0], ())
    assert calls == ["ensure"]


def test_a_run_becomes_one_document(dashboards: Dashboards) -> None:
    client = dashboards.connect()
    numbers = {"events": 5, "misfits": 0, "lag_seconds": None, "error": "no field of the index"}
    client.record_run("process", numbers)
    ((document_id, document),) = dashboards.indices.documents["pipeline_runs"].items()
    assert document == {"time": document["time"], "kind": "process", "events": 5, "misfits": 0}
    assert document_id == f"process {document['time']}"
    assert datetime.fromisoformat(document["time"]).tzinfo == UTC


def test_a_micro_batch_that_is_recorded_again_stays_one_document(dashboards: Dashboards) -> None:
    client = dashboards.connect()
    for count in (3, 4):
        client.record_run("stream", {"batch": 7, "events": count})
    ((document_id, document),) = dashboards.indices.documents["pipeline_runs"].items()
    assert (document_id, document["events"]) == ("stream 7", 4)


def test_dead_letters_are_counted_by_day_source_and_reason(dashboards: Dashboards) -> None:
    topics = dashboards.topics
    topics.produce(
        letter("bad_time"),
        letter("bad_time", "bad_price"),
        letter("bad_time", source="g.csv"),
        b"not a letter",
        topic=DEAD_LETTERS,
    )
    topics.produce(letter("bad_time"), topic=DEAD_LETTERS, produced_ms=PRODUCED_MS + DAY_MS)
    assert dashboards.connect().update([0], ())
    assert dashboards.rejected() == {
        "2020-09-24|f.csv|bad_time": 2,
        "2020-09-24|f.csv|bad_price": 1,
        "2020-09-24|g.csv|bad_time": 1,
        "2020-09-25|f.csv|bad_time": 1,
        "2020-09-24|raw_events_dead_letter|no_dead_letter": 1,
    }
    assert dashboards.indices.documents["rejected_rows"]["2020-09-24|g.csv|bad_time"] == {
        "time": "2020-09-24",
        "source": "g.csv",
        "reason": "bad_time",
        "rows": 1,
    }


def test_dead_letters_are_counted_from_where_the_last_count_stopped(
    dashboards: Dashboards,
) -> None:
    topics = dashboards.topics
    topics.produce(letter("bad_time"), letter("bad_price"), topic=DEAD_LETTERS)
    dashboards.connect().update([0], ())
    dashboards.sent("rejected_rows")
    topics.produce(letter("bad_time"), topic=DEAD_LETTERS)
    dashboards.connect().update([0], ())
    assert topics.ranges_read == [
        (DEAD_LETTERS.name, OffsetRange(0, 0, 2)),
        (DEAD_LETTERS.name, OffsetRange(0, 2, 3)),
    ]
    # The other count has not changed, so it is not sent again.
    assert dashboards.sent("rejected_rows") == [("index", "2020-09-24|f.csv|bad_time")]
    assert dashboards.rejected() == {
        "2020-09-24|f.csv|bad_time": 2,
        "2020-09-24|f.csv|bad_price": 1,
    }


def test_without_new_dead_letters_nothing_is_read_or_written(dashboards: Dashboards) -> None:
    dashboards.topics.produce(letter("bad_time"), topic=DEAD_LETTERS)
    client = dashboards.connect()
    client.update([0], ())
    dashboards.topics.ranges_read.clear()
    dashboards.store.stop_after(0)
    assert client.update([0], ())
    assert dashboards.topics.ranges_read == []


def test_dead_letters_whose_count_was_interrupted_are_counted_once(
    dashboards: Dashboards,
) -> None:
    dashboards.topics.produce(letter("bad_time"), letter("bad_price"), topic=DEAD_LETTERS)
    dashboards.indices.sends_left = 1
    assert not dashboards.connect().update([0], ())
    dashboards.indices.sends_left = None
    assert dashboards.connect().update([0], ())
    assert set(dashboards.rejected().values()) == {1}


def test_dead_letters_that_the_topic_has_removed_stay_counted(
    dashboards: Dashboards, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = dashboards.topics
    topics.produce(letter("bad_time"), letter("bad_time"), topic=DEAD_LETTERS)
    dashboards.connect().update([0], ())
    topics.produce(*[letter("bad_time")] * 3, topic=DEAD_LETTERS)

    def without_the_first_four(_: object, topic: Topic) -> TopicState:
        return TopicState(f"{topic.name}-1", {0: (4, 5)})

    monkeypatch.setattr(metrics, "topic_state", without_the_first_four)
    dashboards.connect().update([0], ())
    assert topics.ranges_read[-1] == (DEAD_LETTERS.name, OffsetRange(0, 4, 5))
    assert dashboards.rejected() == {"2020-09-24|f.csv|bad_time": 3}


def test_letters_of_a_topic_that_was_made_anew_are_counted_from_its_beginning(
    dashboards: Dashboards,
) -> None:
    topics = dashboards.topics
    topics.produce(letter("bad_time"), topic=DEAD_LETTERS)
    dashboards.connect().update([0], ())
    # It has more messages than the old one had.
    topics._messages.clear()
    topics.made_anew += 1
    topics.produce(*[letter("bad_price")] * 3, topic=DEAD_LETTERS)
    for _ in range(2):
        dashboards.connect().update([0], ())
        assert dashboards.rejected() == {
            "2020-09-24|f.csv|bad_time": 1,
            "2020-09-24|f.csv|bad_price": 3,
        }


def test_objects_in_the_lake_keep_the_keys_of_0_1(dashboards: Dashboards) -> None:
    dashboards.count(0, acme=1)
    dashboards.topics.produce(letter("bad_time"), topic=DEAD_LETTERS)
    dashboards.connect().update([0], [0])
    assert dashboards.store.get_json(REJECTED_ROWS) == {
        "next_offsets": {"0": 1},
        "counts": [["2020-09-24", "f.csv", "bad_time", 1]],
        "topic_id": "raw_events_dead_letter-1",
    }
    stored = dashboards.store.objects[SENT_COUNTS]
    assert pl.read_parquet_schema(stored) == METRIC_SCHEMA
    metadata = pl.read_parquet_metadata(stored)
    assert metadata["index"] == dashboards.indices.uuids["event_metrics"]
    assert metadata["format"] == COUNTS_FORMAT


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
    client, invalid = metrics_of(MemoryObjectStore()), InvalidMessages(DEAD_LETTERS.name)
    counts = client._count_dead_letters(OffsetRange(0, 0, len(values)), invalid)
    assert counts == {
        (day, "f.csv", "price_missing"): 1,
        (day, DEAD_LETTERS.name, "no_dead_letter"): len(values) - 1,
    }
    assert invalid.count == len(values) - 1
    assert invalid.examples[0] == "raw_events_dead_letter/0/1: not JSON: nested too deeply"


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


def test_counts_of_other_brands_that_an_older_version_sent_are_sent_again_once(
    dashboards: Dashboards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("customer_profiles.profiles.event_counts.TOP_BRANDS", 1)
    dashboards.count(0, acme=2, rare=1)
    dashboards.connect().update([0], [0])
    documents = dashboards.indices.documents["event_metrics"]
    wanted = {key: dict(document) for key, document in documents.items()}
    assert {document["brand"] for document in wanted.values()} == {"acme", None}
    # As version 0.2 left it.
    stored = dashboards.store.objects[SENT_COUNTS]
    uuid = pl.read_parquet_metadata(stored)["index"]
    dashboards.store.put(SENT_COUNTS, to_parquet(pl.read_parquet(stored), {"index": uuid}))
    for document in documents.values():
        document["brand"] = document["brand"] or OTHER
    dashboards.sent("event_metrics")
    dashboards.connect().update([0], [])
    assert dashboards.indices.documents["event_metrics"] == wanted
    (sent,) = dashboards.sent("event_metrics")
    assert OTHER in sent[1]
    dashboards.connect().update([0], [])
    assert dashboards.sent("event_metrics") == []


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        b'{"next_offsets": {"0": 1}}',
        b'{"next_offsets": {"0": "x"}, "counts": []}',
        b'{"next_offsets": {"0": -1}, "counts": []}',
        b'{"next_offsets": [], "counts": []}',
        b'{"next_offsets": {}, "counts": [["2020-09-24", "f.csv", 2]]}',
        b'{"next_offsets": {}, "counts": [["2020-09-24", "f.csv", "r", null]]}',
    ],
)
def test_damaged_counts_of_rejected_rows_are_counted_again(
    dashboards: Dashboards, caplog: pytest.LogCaptureFixture, damaged: bytes
) -> None:
    dashboards.topics.produce(letter("bad_time"), letter("bad_price"), topic=DEAD_LETTERS)
    dashboards.store.put(REJECTED_ROWS, damaged)
    assert dashboards.connect().update([0], ())
    assert dashboards.rejected() == {
        "2020-09-24|f.csv|bad_time": 1,
        "2020-09-24|f.csv|bad_price": 1,
    }
    assert "counts of rejected rows were damaged" in caplog.text
