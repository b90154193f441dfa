"""The one bulk request, with the one back-off while Elasticsearch is busy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from elasticsearch import ApiError, Elasticsearch

from customer_profiles.search.errors import DocumentsRefusedError, IndexRefusedError

if TYPE_CHECKING:
    import polars as pl
    from tenacity import RetryCallState

Documents = TypeVar("Documents", "pl.DataFrame", Sequence[str])

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0
MAX_BODY_BYTES = 20 * 1024 * 1024
"""The size of a request above which it is split. Elasticsearch refuses more than 100 MB."""
MAX_PAUSES_S = 60.0
"""A busy Elasticsearch is asked again until the pauses add up to more than this."""

LONGEST_REASON = 500
"""A reason may quote the value that was refused, which has any length."""

_BAD_REQUEST = 400
_VERSION_CONFLICT = 409
"""The index has a newer version of the document, so this one is not needed."""
_BUSY = 429
_BLOCKED = "cluster_block_exception"
"""The type of a refusal that does not pass by itself, such as a full disk's. It may come with the
status of a busy Elasticsearch."""
_WHETHER = "errors"
_DETAILS = (
    "errors,items.*._id,items.*.status,"
    "items.*.error.reason,items.*.error.type,items.*.error.caused_by.reason"
)
_FULL_DISK = ("flood-stage", "read-only-allow-delete", "read-only / allow delete")
"""What the reason of a refusal contains if Elasticsearch has made the index read-only itself."""
_NEXT_ACTIONS = {
    "disk": "The disk is full, which makes indices read-only: see `make status` and make room; "
    "then run `make process` again: it catches up.",
    "blocked": "The index is blocked: see `make status` and `make logs`, and lift the block; then "
    "run `make process` again: it catches up.",
    "other": "See `make status` and `make logs`; then run `make process` again: it catches up.",
    "busy": "Elasticsearch is too busy: see `make status`. When it has less to do, run "
    "`make process` again: it catches up.",
    "document": "The index takes the other documents. `make process` sends these again, and it "
    "catches up once the index takes them. `make rebuild` makes an index with the current fields.",
}


def bulk(client: Elasticsearch, index: str, body: bytes) -> None:
    """Send a bulk request and make sure that Elasticsearch carries out every action in it.

    While Elasticsearch is busy the request is repeated, with growing pauses. A document that the
    index already has in a newer version counts as done.

    Args:
        client: the connection. Its connection errors pass through: see `client.translate_errors`.
        index: the name of the index.
        body: NDJSON with actions that may be repeated: whole documents with ids, or deletions.

    Raises:
        DocumentsRefusedError: Elasticsearch refused documents for what they contain.
        IndexRefusedError: Elasticsearch refused an action, or was busy for too long. The message
            names the index, the reason and what helps.
    """
    # Imported with the first request: importing it takes 10 ms, which most commands save.
    from tenacity import Retrying, retry_if_exception_type, wait_exponential  # noqa: PLC0415

    request = _BulkRequest(client, index, body)
    send = Retrying(
        retry=retry_if_exception_type(_BusyError),
        wait=wait_exponential(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S),
        stop=_has_paused_long_enough,
        reraise=True,
    )
    send(request.send)


def split_bodies(documents: Documents, encode: Callable[[Documents], bytes]) -> Iterator[bytes]:
    """Yield the bodies of bulk requests: one, or several if the documents are large.

    Args:
        documents: at least one document.
        encode: writes some of them as NDJSON.
    """
    body = encode(documents)
    if len(body) <= MAX_BODY_BYTES or len(documents) == 1:
        yield body
        return
    half = len(documents) // 2
    for part in (documents[:half], documents[half:]):
        yield from split_bodies(part, encode)


class _BusyError(IndexRefusedError):
    """Elasticsearch had no capacity for some actions; the same request may succeed later."""


def _has_paused_long_enough(state: RetryCallState) -> bool:
    return state.idle_for > MAX_PAUSES_S


class _BulkRequest:
    """One bulk request, which may be sent several times."""

    def __init__(self, client: Elasticsearch, index: str, body: bytes) -> None:
        self._client = client
        self._index = index
        self._body = body
        # Reading the outcome of thousands of actions takes as long as sending them, and all of them
        # nearly always succeed. So the first answer only says whether any action failed.
        self._filter_path = _WHETHER

    def send(self) -> None:
        """Send the request once, and once more for details if an action failed."""
        answer = self._post()
        if answer["errors"] and "items" not in answer:
            self._filter_path = _DETAILS
            answer = self._post()
        if answer["errors"]:
            outcomes = [outcome for item in answer["items"] for outcome in item.values()]
            self._check([outcome for outcome in outcomes if "error" in outcome])

    def _post(self) -> Mapping[str, Any]:
        try:
            response = self._client.perform_request(
                "POST",
                f"/{self._index}/_bulk?filter_path={self._filter_path}",
                headers={"content-type": "application/x-ndjson", "accept": "application/json"},
                body=self._body,
            )
        except ApiError as error:
            # A request that is refused as a whole counts as one failed action.
            refusal = {"type": error.error, "reason": str(error)}
            outcome = {"status": error.status_code, "error": refusal}
            return {"errors": True, "items": [{"index": outcome}]}
        body: Mapping[str, Any] = response.body
        return body

    def _check(self, failures: list[dict[str, Any]]) -> None:
        refusals = [failure for failure in failures if failure["status"] != _VERSION_CONFLICT]
        if not refusals:
            return
        final = [refusal for refusal in refusals if not _is_busy(refusal)]
        # A block refuses all documents, so it matters more than a document that is refused alone.
        worst = min(final or refusals, key=lambda refusal: refusal["error"].get("type") != _BLOCKED)
        cause = _cause(worst)
        error_class = {"busy": _BusyError, "document": DocumentsRefusedError}.get(
            cause, IndexRefusedError
        )
        raise error_class(
            f"Elasticsearch refused {len(refusals)} documents for {self._index}: "
            f"{_describe(worst)} ({worst['status']}).\n"
            f"The lake holds all profiles. {_NEXT_ACTIONS[cause]}"
        )


def _cause(refusal: Mapping[str, Any]) -> str:
    """Return the key in `_NEXT_ACTIONS` of what Elasticsearch says."""
    if _is_busy(refusal):
        return "busy"
    if refusal["error"].get("type") != _BLOCKED:
        return "document" if refusal["status"] == _BAD_REQUEST else "other"
    reason = str(refusal["error"].get("reason"))
    return "disk" if any(mark in reason for mark in _FULL_DISK) else "blocked"


def _describe(refusal: Mapping[str, Any]) -> str:
    """Return the reason of a refusal, which names the field, and the document."""
    error = refusal["error"]
    deeper = error.get("caused_by", {}).get("reason")
    reason = f"{error.get('reason')}: {deeper}" if deeper else str(error.get("reason"))
    if len(reason) > LONGEST_REASON:
        reason = f"{reason[:LONGEST_REASON]} …"
    return f"{reason}, document {refusal['_id']}" if "_id" in refusal else reason


def _is_busy(refusal: Mapping[str, Any]) -> bool:
    is_blocked = refusal["error"].get("type") == _BLOCKED
    return bool(refusal["status"] == _BUSY) and not is_blocked
