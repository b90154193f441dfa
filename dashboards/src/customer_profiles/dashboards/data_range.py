"""The time range of the data, asked of Elasticsearch with the standard library alone."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

from customer_profiles.dashboards.saved_objects import TimeRange

TIMEOUT_S = 30
NOT_FOUND = 404
SEARCH = {
    "size": 0,
    "query": {"term": {"granularity": "day"}},
    "aggs": {"first": {"min": {"field": "time"}}, "last": {"max": {"field": "time"}}},
}
"""The search in `event_metrics` for the first and the last day that have events."""


def ask_time_range(url: str, password: str, now: datetime) -> TimeRange | None:
    """Ask Elasticsearch for the time range of all events.

    Args:
        url: the address of Elasticsearch.
        password: of the account `elastic`; empty if Elasticsearch asks for none.
        now: the current time, in UTC.

    Returns:
        The range, or None if there are no events yet.

    Raises:
        OSError: Elasticsearch does not answer, or refuses.
    """
    request = urllib.request.Request(
        f"{url.rstrip('/')}/event_metrics/_search",
        json.dumps(SEARCH).encode(),
        {"content-type": "application/json", **authorization(password)},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            return read_time_range(json.load(response), now)
    except urllib.error.HTTPError as error:
        if error.code == NOT_FOUND:
            return None
        raise


def read_time_range(response: dict[str, Any], now: datetime) -> TimeRange | None:
    """Return the time range from the response to `SEARCH`, or None if there are no events.

    The range ends with the last day that has events. It ends now if that day is today, so that it
    follows a stream.
    """
    results = response["aggregations"]
    first, last = (results[name]["value"] for name in ("first", "last"))
    if first is None:
        return None
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    since, end = (epoch + timedelta(milliseconds=value) for value in (first, last))
    is_today = end.date() == now.date()
    until = end + timedelta(days=1, milliseconds=-1)
    return TimeRange(_iso(since), "now" if is_today else _iso(until))


def authorization(password: str, account: str = "elastic") -> dict[str, str]:
    """Return the header that names an account; none without a password."""
    if not password:
        return {}
    credentials = base64.b64encode(f"{account}:{password}".encode()).decode()
    return {"authorization": f"Basic {credentials}"}


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
