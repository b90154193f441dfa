"""The indices behind the alias: they are created, promoted, restored and filled."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts.limits import MAX_SEARCHED_CHARACTERS
from customer_profiles.search import profile_index
from customer_profiles.search.client import ElasticsearchConfig
from customer_profiles.search.errors import IndexUnavailableError
from customer_profiles.search.index_ref import DOCUMENT_FORMAT
from customer_profiles.search.mapping import FILTER_FIELDS
from customer_profiles.search.profile_index import IndexRef, ProfileIndex

ALIAS = "customer_profiles"


class Client:
    """A fake Elasticsearch with names, settings and mappings of indices, and the alias."""

    def __init__(self) -> None:
        self.all: dict[str, dict[str, Any]] = {}
        self.live: str | None = None
        self.indices = self
        self.created = 0
        self.ignored: object = None
        self.updated: list[str] = []
        """The indices whose fields were changed."""
        self.changed_settings: list[tuple[str, dict[str, Any]]] = []

    def options(self, ignore_status: object = None) -> Client:
        self.ignored = ignore_status
        return self

    def put_index_template(self, **_: object) -> None:
        pass

    def create(
        self, index: str, settings: Any = None, aliases: Any = None, mappings: Any = None
    ) -> None:
        self.created += 1
        uuid = f"uuid-{self.created}"
        self.all[index] = {"uuid": uuid, **(settings or {}), "mappings": mappings or {}}
        if aliases:
            self.live = index

    def delete(self, index: str) -> None:
        del self.all[index]

    def get_settings(self, index: str, name: str) -> SimpleNamespace:
        assert name == "index.uuid"
        if index == ALIAS and self.live is None:
            return SimpleNamespace(body={"error": {}, "status": 404})
        names = [self.live] if index == ALIAS else list(self.all)
        uuids = {name: self.all[name]["uuid"] for name in names if name}
        body = {name: {"settings": {"index": {"uuid": uuid}}} for name, uuid in uuids.items()}
        return SimpleNamespace(body=body)

    def get_mapping(self, index: str) -> SimpleNamespace:
        assert index == f"{ALIAS}-*"
        body = {name: {"mappings": entry["mappings"]} for name, entry in self.all.items()}
        return SimpleNamespace(body=body)

    def get(self, index: str) -> SimpleNamespace:
        assert index == f"{ALIAS}-*"
        body = {
            name: {
                "mappings": entry["mappings"],
                "settings": {"index": {key: entry[key] for key in entry if key != "mappings"}},
            }
            for name, entry in self.all.items()
        }
        return SimpleNamespace(body=body)

    def put_settings(self, index: str, settings: dict[str, Any]) -> None:
        self.all[index].update(settings)
        self.changed_settings.append((index, settings))

    def put_mapping(self, index: str, meta: Any = None, properties: Any = None) -> None:
        mappings = self.all[index]["mappings"]
        if meta:
            mappings["_meta"] = meta
        if properties:
            assert self.ignored == (403, 429)
            mappings.setdefault("properties", {}).update(properties)
            self.updated.append(index)

    def update_aliases(self, actions: list[dict[str, Any]]) -> None:
        for action in actions:
            if removed := action.get("remove"):
                assert removed["index"] == self.live
            else:
                self.live = action["add"]["index"]


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def index(client: Client, monkeypatch: pytest.MonkeyPatch) -> ProfileIndex:
    created = ProfileIndex(ElasticsearchConfig("http://127.0.0.1:9"))
    monkeypatch.setattr(created, "client", client)
    return created


def test_a_reference_has_a_key_and_a_number() -> None:
    ref = IndexRef("customer_profiles-000012", "u")
    assert (ref.key, ref.number) == (f"customer_profiles-000012.u.{DOCUMENT_FORMAT}", 12)
    assert IndexRef("customer_profiles-old", "u").number == 0


def test_the_first_index_is_live_at_once(index: ProfileIndex, client: Client) -> None:
    first = index.ensure()
    assert first == IndexRef("customer_profiles-000001", "uuid-1")
    assert client.live == first.name
    assert index.ensure() == first
    assert client.created == 1


def test_indices_of_older_versions_accept_texts_of_any_length(
    index: ProfileIndex, client: Client
) -> None:
    old = {"favorite_brand": {"type": "keyword"}, "total_events": {"type": "long"}}
    live, previous = index.ensure(), index.create()
    for name in (live.name, previous.name):
        client.all[name]["mappings"]["properties"] = dict(old)
    index.ensure()
    index.ensure()
    assert client.updated == [live.name, previous.name]
    for name in client.updated:
        assert client.all[name]["mappings"]["properties"] == {
            **old,
            "favorite_brand": {"type": "keyword", "ignore_above": MAX_SEARCHED_CHARACTERS},
            **FILTER_FIELDS,
        }


def test_indices_of_older_versions_forget_deletions_at_once(
    index: ProfileIndex, client: Client
) -> None:
    """Otherwise they would refuse a deleted profile for a minute: its version is not higher."""
    live, previous = index.ensure(), index.create()
    client.all[previous.name]["gc_deletes"] = "0s"
    index.ensure()
    index.ensure()
    assert client.changed_settings == [(live.name, {"gc_deletes": "0s"})]
    assert client.ignored == (403, 429)


def test_large_profiles_are_sent_in_several_requests(
    index: ProfileIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies: list[bytes] = []
    monkeypatch.setattr("customer_profiles.search.bulk.MAX_BODY_BYTES", 10)
    monkeypatch.setattr(
        profile_index, "to_ndjson", lambda part, _: "".join(part["user_id"]).encode()
    )
    monkeypatch.setattr(profile_index, "bulk", lambda *request: bodies.append(request[-1]))
    texts = ["a" * 4, "b" * 4, "c" * 4, "d" * 40]
    index.index_profiles(IndexRef("i", "u"), pl.DataFrame({"user_id": texts}), 1)
    assert bodies == [b"aaaabbbb", b"cccc", b"d" * 40]


def test_a_new_index_is_live_once_it_is_promoted(index: ProfileIndex, client: Client) -> None:
    first = index.ensure()
    second = index.create()
    assert (second.name, client.live) == ("customer_profiles-000002", first.name)
    assert client.all[second.name]["refresh_interval"] == "-1"
    assert index.promote(second) == []
    assert client.live == second.name
    assert client.all[second.name]["refresh_interval"] == "10s"
    third = index.create()
    # The previous index is kept for `restore`.
    assert index.promote(third) == [first.name]
    assert list(client.all) == [second.name, third.name]


def test_an_unfilled_index_is_deleted_by_the_next_attempt(
    index: ProfileIndex, client: Client
) -> None:
    first = index.ensure()
    abandoned = index.create()
    retried = index.create()
    assert list(client.all) == [first.name, retried.name]
    assert retried.name == abandoned.name
    assert retried.uuid != abandoned.uuid


def test_restore_moves_the_alias_back_and_forth(index: ProfileIndex, client: Client) -> None:
    first = index.ensure()
    second = index.create()
    index.promote(second)
    assert index.restore() == (second, first)
    assert client.live == first.name
    assert index.restore() == (first, second)


def test_restore_needs_another_complete_index(index: ProfileIndex) -> None:
    index.ensure()
    index.create()
    with pytest.raises(PipelineError, match=r"There is no other index to show: `make rebuild`"):
        index.restore()


def test_an_unreachable_elasticsearch_is_reported() -> None:
    with pytest.raises(IndexUnavailableError, match=r"http://127\.0\.0\.1:9"):
        ProfileIndex(ElasticsearchConfig("http://127.0.0.1:9")).ensure()


def test_profiles_are_sent_in_chunks(index: ProfileIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[bytes] = []
    monkeypatch.setattr(profile_index, "BULK_DOCUMENTS", 2)
    monkeypatch.setattr(profile_index, "to_ndjson", lambda part, _: str(part.height).encode())
    monkeypatch.setattr(profile_index, "bulk", lambda *request: bodies.append(request[-1]))
    profiles = pl.DataFrame({"user_id": ["1", "2", "3"]})
    index.index_profiles(IndexRef("i", "u"), profiles, 1)
    index.index_profiles(IndexRef("i", "u"), profiles.clear(), 1)
    assert bodies == [b"2", b"1"]
