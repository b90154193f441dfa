"""The metrics indices, which the dashboards read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from customer_profiles.profiles.event_counts import METRIC_SCHEMA, OTHER
from customer_profiles.search import metrics_indices
from customer_profiles.search.client import ElasticsearchConfig
from customer_profiles.search.documents import document_id
from customer_profiles.search.mapping import KEYWORD
from customer_profiles.search.metrics_indices import (
    MAPPINGS,
    METRICS_INDICES,
    MetricsIndices,
    counts_to_ndjson,
)


def counts(**changes: object) -> pl.DataFrame:
    """Return one row of event counts with some values changed."""
    row = {
        "granularity": "day",
        "time": datetime(2020, 9, 24, tzinfo=UTC),
        "event_type": "view",
        "category": "electronics",
        "brand": "x",
        "customer_segment": "A",
        "events": 1,
        "revenue": Decimal(0),
    }
    return pl.DataFrame([{**row, **changes}], schema=METRIC_SCHEMA)


def test_a_brand_with_special_characters_stays_on_its_line() -> None:
    (line,) = counts_to_ndjson(counts(brand='a"b\n|'))
    action, document, rest = line.split("\n")
    assert rest == ""
    assert action == r'{"index":{"_id":"day|2020-09-24T00:00:00Z|view|electronics|a\"b\n||A"}}'
    assert r'"brand":"a\"b\n|"' in document
    (deletion,) = counts_to_ndjson(counts(), delete=True)
    assert deletion == '{"delete":{"_id":"day|2020-09-24T00:00:00Z|view|electronics|x|A"}}\n'


def test_other_brands_are_no_brand_to_filter_by() -> None:
    """Profiles have real brands, so a filter on "(other)" would find no customer."""
    (line,) = counts_to_ndjson(counts(brand=OTHER))
    action, document, _ = line.split("\n")
    assert "|(other)|" in json.loads(action)["index"]["_id"]
    assert json.loads(document)["brand"] is None


def test_counts_have_the_fields_of_their_mapping() -> None:
    (line,) = counts_to_ndjson(counts(revenue=Decimal("0.0125")))
    document = json.loads(line.split("\n")[1])
    assert set(document) == set(MAPPINGS["event_metrics"])
    assert (document["events"], document["revenue"]) == (1, 0.0125)


class Client:
    """A fake Elasticsearch that has some indices and records bulk requests."""

    def __init__(self, *names: str) -> None:
        self.bodies: list[bytes] = []
        self.created: dict[str, Any] = {}
        self.updated: dict[str, Any] = {}
        old = {"brand": {"type": "keyword"}, "events": {"type": "long"}}
        self.indices = SimpleNamespace(
            exists=lambda index: index in names,
            create=lambda index, **content: self.created.update({index: content}),
            get_mapping=lambda index: SimpleNamespace(
                body={index: {"mappings": {"properties": old}}}
            ),
            put_mapping=lambda index, properties: self.updated.update({index: properties}),
            get_settings=lambda index, name: SimpleNamespace(
                body={index: {"settings": {"index": {name.rpartition(".")[2]: f"{index}-id"}}}}
            ),
        )

    def options(self, **_: object) -> Client:
        return self

    def perform_request(self, _: str, path: str, *, body: bytes, **__: Any) -> SimpleNamespace:
        assert path.startswith("/pipeline_runs/_bulk")
        self.bodies.append(body)
        return SimpleNamespace(body={"errors": False})


def create_indices(monkeypatch: pytest.MonkeyPatch, client: Client) -> MetricsIndices:
    indices = MetricsIndices(ElasticsearchConfig("http://127.0.0.1:9"))
    monkeypatch.setattr(indices, "client", client)
    return indices


def test_missing_indices_are_created_with_strict_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client("event_metrics")
    create_indices(monkeypatch, client).ensure()
    assert METRICS_INDICES == ("event_metrics", "pipeline_runs", "rejected_rows")
    assert list(client.created) == ["pipeline_runs", "rejected_rows"]
    for name, content in client.created.items():
        assert content["mappings"] == {"dynamic": "strict", "properties": MAPPINGS[name]}
    assert client.updated == {"event_metrics": {"brand": KEYWORD}}


def test_no_text_is_too_long_for_a_keyword_field() -> None:
    fields = [field for properties in MAPPINGS.values() for field in properties.values()]
    assert [field for field in fields if field["type"] == "keyword" and field != KEYWORD] == []


def test_an_index_has_a_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    indices = create_indices(monkeypatch, Client())
    assert indices.index_uuid("event_metrics") == "event_metrics-id"


def test_an_id_that_is_too_long_is_hashed() -> None:
    ordinary = counts(brand="b" * (512 - len("day|2020-09-24T00:00:00Z|view|electronics||A")))
    long = [counts(brand=letter * 512) for letter in "äbb"]
    frame = pl.concat([ordinary, *long])
    actions = [json.loads(line.split("\n")[0])["index"] for line in counts_to_ndjson(frame)]
    ids = [action["_id"] for action in actions]
    assert ids[0] == f"day|2020-09-24T00:00:00Z|view|electronics|{ordinary['brand'][0]}|A"
    assert ids[1] == document_id(f"day|2020-09-24T00:00:00Z|view|electronics|{'ä' * 512}|A")
    assert ids[1] != ids[2] == ids[3]
    assert all(len(text) <= 512 for text in ids)
    deletions = counts_to_ndjson(frame, delete=True)
    assert [json.loads(line)["delete"]["_id"] for line in deletions] == ids


def test_ids_of_other_documents_are_hashed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    key = "2020-09-24|" + "folder/" * 100
    create_indices(monkeypatch, client).index_documents("pipeline_runs", [(key, {})])
    (body,) = client.bodies
    assert json.loads(body.splitlines()[0]) == {"index": {"_id": document_id(key)}}


def test_large_documents_are_sent_in_several_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("customer_profiles.search.bulk.MAX_BODY_BYTES", 10)
    client = Client()
    documents = ["aaaa", "bbbb", "cccc", "d" * 40]
    create_indices(monkeypatch, client).send("pipeline_runs", documents)
    assert sorted(client.bodies) == [b"aaaabbbb", b"cccc", b"d" * 40]


def test_documents_are_sent_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_indices, "BULK_DOCUMENTS", 2)
    client = Client()
    documents = [(f"run {number}", {"batch": number}) for number in range(3)]
    create_indices(monkeypatch, client).index_documents("pipeline_runs", documents)
    first, last = sorted(client.bodies, key=len, reverse=True)
    assert [json.loads(line) for line in first.splitlines()] == [
        {"index": {"_id": "run 0"}},
        {"batch": 0},
        {"index": {"_id": "run 1"}},
        {"batch": 1},
    ]
    assert last == b'{"index": {"_id": "run 2"}}\n{"batch": 2}\n'


def test_no_documents_cause_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    create_indices(monkeypatch, client).send("pipeline_runs", [])
    assert client.bodies == []
