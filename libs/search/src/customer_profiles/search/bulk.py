"""The one bulk request, with the one back-off while Elasticsearch is busy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from elasticsearch import ApiError, Elasticsearch

from customer_profiles.search.errors import IndexRefusedError

if TYPE_CHECKING:
    from tenacity import RetryCallState

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0
MAX_PAUSES_S = 60.0
"""A busy Elasticsearch is asked again until the pauses add up to more than this."""

_VERSION_CONFLICT = 409
"""The index has a newer version of the document, so this one is not needed."""
_BUSY = 429
_BLOCKED = "cluster_block_exception"
"""The type of a refusal that does not pass by itself, such as a full disk's. It may come with the
status of a busy Elasticsearch."""
_WHETHER = "errors"
_DETAILS = "errors,items.*.status,items.*.error.reason,items.*.error.type"


def bulk(client: Elasticsearch, index: str, body: bytes) -> None:
    """Send a bulk request and make sure that Elasticsearch carries out every action in it.

    While Elasticsearch is busy the request is repeated, with growing pauses. A document that the
    index already has in a newer version counts as done.

    Args:
        client: the connection. Its connection errors pass through: see `client.translate_errors`.
        index: the name of the index.
        body: NDJSON with actions that may be repeated: whole documents with ids, or deletions.

    Raises:
        IndexRefusedError: Elasticsearch refused an action, or was busy for too long. The message
            names the index and the reason.
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
        worst = (final or refusals)[0]
        error_class = IndexRefusedError if final else _BusyError
        raise error_class(
            f"Elasticsearch refused {len(refusals)} documents for {self._index}: "
            f"{worst['error'].get('reason')} ({worst['status']}).\n"
            "The lake holds all profiles. A full disk makes indices read-only: see `make status`; "
            "then run `make process` again: it catches up."
        )


def _is_busy(refusal: Mapping[str, Any]) -> bool:
    is_blocked = refusal["error"].get("type") == _BLOCKED
    return bool(refusal["status"] == _BUSY) and not is_blocked
