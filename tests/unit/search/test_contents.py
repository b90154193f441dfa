"""Indices are read as a whole: their sums, their documents, and which one is live."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from elasticsearch import helpers

from customer_profiles.search import contents
from customer_profiles.search.client import ElasticsearchConfig
from customer_profiles.search.contents import IndexContents, IndexedDocument
from customer_profiles.search.profile_index import IndexRef

MISSING = {"error": {}, "status": 404}


class Client:
    """A fake Elasticsearch with one index."""

    def __init__(self) -> None:
        self.indices = self
        self.refreshed: list[str] = []
        self.searches: list[dict[str, Any]] = []
        self.answer: dict[str, Any] = {}

    def options(self, ignore_status: int) -> Client:
        assert ignore_status == 404
        return self

    def refresh(self, index: str) -> None:
        self.refreshed.append(index)

    def get(self, index: str) -> SimpleNamespace:
        assert index == "customer_profiles"
        return SimpleNamespace(body=self.answer)

    def search(self, **request: Any) -> SimpleNamespace:
        self.searches.append(request)
        return SimpleNamespace(body=self.answer)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    client = Client()
    monkeypatch.setattr(contents, "connect", lambda _: client)
    return client


@pytest.fixture
def reader(client: Client) -> IndexContents:
    return IndexContents(ElasticsearchConfig("http://elasticsearch"))


def test_the_sums_are_those_of_all_documents(client: Client, reader: IndexContents) -> None:
    client.answer = {
        "hits": {"total": {"value": 2}},
        "aggregations": {"total_events": {"value": 12.0}},
    }
    assert reader.sums("profiles", ["total_events"]) == {"documents": 2, "total_events": 12}
    assert client.refreshed == ["profiles"]
    (request,) = client.searches
    assert (request["size"], request["track_total_hits"]) == (0, True)
    assert request["aggs"] == {"total_events": {"sum": {"field": "total_events"}}}


def test_an_index_that_is_missing_has_no_sums(client: Client, reader: IndexContents) -> None:
    client.answer = MISSING
    assert reader.sums("profiles", []) is None


@pytest.mark.parametrize(
    ("meta", "batch"), [({"through_batch": 7}, 7), ({}, None), ({"through_batch": "x"}, None)]
)
def test_the_live_index_says_how_far_it_is(
    client: Client, reader: IndexContents, meta: dict[str, Any], batch: int | None
) -> None:
    client.answer = {
        "customer_profiles-000002": {
            "settings": {"index": {"uuid": "u"}},
            "mappings": {"_meta": meta},
        }
    }
    assert reader.live() == (IndexRef("customer_profiles-000002", "u"), batch)


def test_there_may_be_no_live_index(client: Client, reader: IndexContents) -> None:
    client.answer = MISSING
    assert reader.live() is None


def test_a_scan_yields_every_document_with_its_version(
    reader: IndexContents, monkeypatch: pytest.MonkeyPatch
) -> None:
    hits = [{"_id": "1", "_version": 3, "_source": {"user_id": "1"}}]
    monkeypatch.setattr(helpers, "scan", lambda *_, **__: iter(hits))
    assert list(reader.scan("profiles")) == [IndexedDocument("1", 3, {"user_id": "1"})]
