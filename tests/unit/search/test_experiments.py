"""Variants in the profiles, and the results of experiments, with a fake Elasticsearch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from customer_profiles.search import contents, experiments
from customer_profiles.search.client import ElasticsearchConfig
from customer_profiles.search.contents import IndexContents, IndexedDocument
from customer_profiles.search.errors import IndexUnavailableError
from customer_profiles.search.experiments import RESULT_FIELDS, RESULTS, ExperimentIndices
from customer_profiles.search.profile_index import IndexRef


class Client:
    """Keeps what is asked of the indices."""

    def __init__(self) -> None:
        self.indices = self
        self.has_results = False
        self.created: list[dict[str, Any]] = []
        self.mapped: list[dict[str, Any]] = []
        self.refreshed: list[str] = []

    def options(self, ignore_status: int) -> Client:
        assert ignore_status == 400
        return self

    def exists(self, index: str) -> bool:
        assert index == RESULTS
        return self.has_results

    def create(self, **request: Any) -> None:
        self.created.append(request)

    def get_settings(self, index: str) -> Any:
        assert index == "customer_profiles-*"
        return SimpleNamespace(body={"profiles-000001": {}})

    def put_mapping(self, **request: Any) -> None:
        self.mapped.append(request)

    def refresh(self, index: str) -> None:
        self.refreshed.append(index)


class Elasticsearch:
    """One index of documents, and what was sent to it."""

    def __init__(self) -> None:
        self.client = Client()
        self.live: tuple[IndexRef, int | None] | None = (IndexRef("profiles-000001", "u"), 3)
        self.documents: list[IndexedDocument] = []
        self.sent: list[tuple[str, list[dict[str, Any]]]] = []

    def scan(self, index: str) -> Iterator[IndexedDocument]:
        assert index in {"profiles-000001", RESULTS}
        yield from self.documents

    def bulk(self, _client: object, index: str, body: bytes) -> None:
        self.sent.append((index, [json.loads(line) for line in body.splitlines()]))


@pytest.fixture
def elasticsearch(monkeypatch: pytest.MonkeyPatch) -> Elasticsearch:
    fake = Elasticsearch()
    monkeypatch.setattr(contents, "connect", lambda _: fake.client)
    monkeypatch.setattr(IndexContents, "live", lambda _: fake.live)
    monkeypatch.setattr(IndexContents, "scan", lambda _, index: fake.scan(index))
    monkeypatch.setattr(experiments, "bulk", fake.bulk)
    return fake


@pytest.fixture
def indices(elasticsearch: Elasticsearch) -> ExperimentIndices:
    return ExperimentIndices(ElasticsearchConfig("http://elasticsearch"))


def profile(user_id: str, version: int, **variants: str) -> IndexedDocument:
    content: dict[str, Any] = {"user_id": user_id, "total_events": 1}
    if variants:
        content["experiments"] = variants
    return IndexedDocument(user_id, version, content)


def test_only_documents_whose_variant_differs_are_written_with_their_version(
    elasticsearch: Elasticsearch, indices: ExperimentIndices
) -> None:
    elasticsearch.documents = [
        profile("1", 5),
        profile("2", 6, banner="control"),
        profile("3", 7, banner="banner", button="red"),
        profile("4", 8, banner="banner"),
        profile("5", 9),
    ]
    changed = indices.publish_variants("banner", {"1": "banner", "2": "control", "3": "control"})
    assert changed == 3
    ((index, lines),) = elasticsearch.sent
    assert index == "profiles-000001"
    written = {action["index"]["_id"]: (action["index"], document) for action, document in
               zip(lines[::2], lines[1::2], strict=True)}  # fmt: skip
    assert written["1"][0] == {"_id": "1", "version": 5, "version_type": "external_gte"}
    assert written["1"][1]["experiments"] == {"banner": "banner"}
    assert written["3"][1]["experiments"] == {"button": "red", "banner": "control"}
    # Nobody who left the experiment keeps its field.
    assert written["4"][1] == {"user_id": "4", "total_events": 1}
    assert set(written) == {"1", "3", "4"}


def test_the_field_is_mapped_by_itself(
    elasticsearch: Elasticsearch, indices: ExperimentIndices
) -> None:
    indices.add_field("banner")
    (mapped,) = elasticsearch.client.mapped
    assert list(mapped["properties"]["experiments"]["properties"]) == ["banner"]


def test_variants_are_visible_after_a_publication(
    elasticsearch: Elasticsearch, indices: ExperimentIndices
) -> None:
    assert indices.publish_variants("banner", {}) == 0
    assert elasticsearch.client.refreshed == ["profiles-000001"] * 2
    assert elasticsearch.sent == []


def test_many_documents_are_sent_in_parts_with_progress(
    elasticsearch: Elasticsearch, indices: ExperimentIndices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiments, "BULK_DOCUMENTS", 2)
    elasticsearch.documents = [profile(str(number), 1) for number in range(5)]
    variants = {str(number): "control" for number in range(5)}
    done: list[int] = []
    assert indices.publish_variants("banner", variants, done.append) == 5
    assert [len(lines) // 2 for _, lines in elasticsearch.sent] == [2, 2, 1]
    assert done == [2, 4]


def test_without_profiles_the_next_command_is_named(
    elasticsearch: Elasticsearch, indices: ExperimentIndices
) -> None:
    elasticsearch.live = None
    with pytest.raises(IndexUnavailableError, match="Run `make process` first"):
        indices.publish_variants("banner", {})


@pytest.mark.parametrize("there", [True, False])
def test_results_replace_those_of_the_same_experiment_only(
    elasticsearch: Elasticsearch, indices: ExperimentIndices, there: bool
) -> None:
    elasticsearch.client.has_results = there
    elasticsearch.documents = [
        IndexedDocument("a", 1, {"experiment": "banner"}),
        IndexedDocument("b", 1, {"experiment": "banner"}),
        IndexedDocument("c", 1, {"experiment": "button"}),
    ]
    indices.write_results("banner", [("b", {"experiment": "banner", "kind": "look"})])
    assert elasticsearch.sent == [
        (
            RESULTS,
            [
                {"index": {"_id": "b"}},
                {"experiment": "banner", "kind": "look"},
                {"delete": {"_id": "a"}},
            ],
        )
    ]
    created = elasticsearch.client.created
    assert len(created) == (0 if there else 1)
    if created:
        assert created[0]["mappings"] == {"dynamic": "strict", "properties": RESULT_FIELDS}
