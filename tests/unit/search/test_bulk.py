"""The outcome of each document decides what happens to a bulk request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from elasticsearch import ApiError, Elasticsearch

from customer_profiles.common.errors import PipelineError
from customer_profiles.search.bulk import bulk
from customer_profiles.search.client import ElasticsearchConfig
from customer_profiles.search.errors import DocumentsRefusedError, IndexRefusedError
from customer_profiles.search.profile_index import IndexRef, ProfileIndex
from tests.support import build_indexed, event, events
from tests.unit.search.support import api_error


def refusal(status: int, error_type: str) -> dict[str, Any]:
    error = {"type": error_type, "reason": error_type}
    return {"errors": True, "items": [{"index": {"status": status, "error": error}}]}


DONE = {"errors": False}
BUSY = refusal(429, "es_rejected_execution_exception")
NEWER = refusal(409, "version_conflict_engine_exception")


class Client:
    """Answers bulk requests from a list, with details only if the request asks for them."""

    def __init__(self, answers: Sequence[dict[str, Any] | ApiError]) -> None:
        self.answers = list(answers)
        self.paths: list[str] = []

    def perform_request(self, _: str, path: str, **__: Any) -> SimpleNamespace:
        self.paths.append(path)
        answer = self.answers[0]
        if isinstance(answer, ApiError):
            self.answers.pop(0)
            raise answer
        if path.endswith("filter_path=errors") and answer["errors"]:
            return SimpleNamespace(body={"errors": True})
        return SimpleNamespace(body=self.answers.pop(0))


def as_client(client: Client) -> Elasticsearch:
    return client  # type: ignore[return-value]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the pauses between attempts instead of sleeping."""
    recorded: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", recorded.append)
    return recorded


def check(send: Callable[[], None], message: str | None) -> None:
    if message is None:
        send()
    else:
        with pytest.raises(
            PipelineError, match=rf"(?s)customer_profiles-000007: {message}.*catches up"
        ):
            send()


CASES = [
    ([DONE], None, []),
    ([NEWER], None, []),
    ([BUSY, BUSY, BUSY, DONE], None, [0.5, 1, 2]),
    ([BUSY, NEWER], None, [0.5]),
    ([BUSY] * 99, "es_rejected", [0.5, 1, 2, 4, 8, 8, 8, 8, 8, 8, 8]),
    ([refusal(429, "cluster_block_exception")], "cluster_block", []),
    ([refusal(403, "cluster_block_exception")], "cluster_block", []),
    ([BUSY, refusal(400, "strict_dynamic_mapping_exception")], "strict_dynamic", [0.5]),
]


@pytest.mark.parametrize(("answers", "message", "expected_pauses"), CASES)
def test_the_outcome_of_each_document_decides(
    monkeypatch: pytest.MonkeyPatch,
    pauses: list[float],
    answers: list[dict[str, Any]],
    message: str | None,
    expected_pauses: list[float],
) -> None:
    """A busy Elasticsearch is retried. Any other refusal names the index and the reason."""
    index = ProfileIndex(ElasticsearchConfig("http://127.0.0.1:9"))
    monkeypatch.setattr(index, "client", Client(answers))
    profiles = build_indexed(events(event()), datetime(2026, 1, 1, tzinfo=UTC))
    ref = IndexRef("customer_profiles-000007", "u")
    check(partial(index.index_profiles, ref, profiles, 1), message)
    assert pauses == expected_pauses


@pytest.mark.parametrize(
    ("answers", "message", "expected_pauses"),
    [
        ([api_error(429, "circuit_breaking_exception"), DONE], None, [0.5]),
        ([api_error(429, "cluster_block_exception")], "ApiError.429, 'cluster_block", []),
        ([api_error(404, "index_not_found_exception")], "ApiError.404, 'index_not_found", []),
    ],
)
def test_a_request_that_is_refused_as_a_whole_counts_as_one_document(
    pauses: list[float],
    answers: list[ApiError],
    message: str | None,
    expected_pauses: list[float],
) -> None:
    send = partial(bulk, as_client(Client(answers)), "customer_profiles-000007", b"{}\n")
    check(send, message)
    assert pauses == expected_pauses


def test_details_are_requested_only_after_a_failure(pauses: list[float]) -> None:
    client = Client([BUSY, DONE])
    bulk(as_client(client), "i", b"{}\n")
    details = (
        "/i/_bulk?filter_path=errors,items.*._id,items.*.status,"
        "items.*.error.reason,items.*.error.type,items.*.error.caused_by.reason"
    )
    assert client.paths == ["/i/_bulk?filter_path=errors", details, details]
    assert pauses == [0.5]


def test_the_message_counts_the_refusals_and_shows_a_final_one(pauses: list[float]) -> None:
    items = [
        *BUSY["items"],
        *NEWER["items"],
        *refusal(400, "mapper_parsing_exception")["items"],
        {"index": {"status": 200}},
    ]
    client = Client([{"errors": True, "items": items}])
    with pytest.raises(IndexRefusedError, match=r"refused 2 documents for i: mapper_.* \(400\)\."):
        bulk(as_client(client), "i", b"{}\n")
    assert pauses == []


FLOOD_STAGE = (
    "index [i] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index "
    "has read-only-allow-delete block];"
)


@pytest.mark.parametrize(
    ("status", "error", "words", "error_class"),
    [
        (429, {"type": "cluster_block_exception", "reason": FLOOD_STAGE}, "The disk is full",
         IndexRefusedError),
        (403, {"type": "cluster_block_exception", "reason": "blocked by: [FORBIDDEN/8/index write"},
         "The index is blocked", IndexRefusedError),
        (400, {"type": "document_parsing_exception", "reason": "failed to parse field [brand]",
               "caused_by": {"reason": "immense term"}},
         r"field \[brand\]: immense term, document 7 \(400\)", DocumentsRefusedError),
        (404, {"type": "index_not_found_exception", "reason": "no such index"}, "`make logs`",
         IndexRefusedError),
    ],
)  # fmt: skip
def test_the_message_names_the_cause_that_elasticsearch_gives(
    status: int, error: dict[str, Any], words: str, error_class: type[IndexRefusedError]
) -> None:
    items = [{"index": {"_id": "7", "status": status, "error": error}}]
    with pytest.raises(IndexRefusedError, match=f"(?s){words}") as raised:
        bulk(as_client(Client([{"errors": True, "items": items}])), "i", b"{}\n")
    assert type(raised.value) is error_class
    assert ("disk" in str(raised.value)) == (error["reason"] == FLOOD_STAGE)


def test_a_block_matters_more_than_a_document() -> None:
    block = refusal(403, "cluster_block_exception")["items"]
    items = [*refusal(400, "mapper_parsing_exception")["items"], *block]
    with pytest.raises(IndexRefusedError, match="refused 2 documents for i: cluster_block"):
        bulk(as_client(Client([{"errors": True, "items": items}])), "i", b"{}\n")


def test_a_reason_is_cut_where_it_quotes_a_long_value() -> None:
    error = {"type": "x", "reason": "long" * 10_000}
    items = [{"index": {"status": 400, "error": error}}]
    with pytest.raises(IndexRefusedError, match=r"long … \(400\)") as raised:
        bulk(as_client(Client([{"errors": True, "items": items}])), "i", b"{}\n")
    assert len(str(raised.value)) < 1_000


def test_a_refused_document_does_not_hold_up_those_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("customer_profiles.search.profile_index.BULK_DOCUMENTS", 1)
    index = ProfileIndex(ElasticsearchConfig("http://127.0.0.1:9"))
    client = Client([DONE, refusal(400, "too_long"), DONE, refusal(400, "another"), DONE])
    monkeypatch.setattr(index, "client", client)
    rows = events(*(event(user_id=str(number)) for number in range(5)))
    profiles = build_indexed(rows, datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(DocumentsRefusedError, match="too_long"):
        index.index_profiles(IndexRef("i", "u"), profiles, 1)
    assert client.answers == []
    client.answers = [refusal(403, "cluster_block_exception"), DONE]
    with pytest.raises(IndexRefusedError, match="cluster_block"):
        index.index_profiles(IndexRef("i", "u"), profiles, 1)
    assert client.answers == [DONE]
