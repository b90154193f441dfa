"""The time steps of charts: days, or months or years where there are too many days to send.

Elasticsearch refuses a response of more buckets than `contracts.limits.MAX_CHART_BUCKETS`. Panels
ask for days that have data only, so this limit matters only for data that are spread over
centuries.
"""

from __future__ import annotations

import calendar
import json
from collections.abc import Mapping
from datetime import date
from typing import Any

INTERVALS = ("day", "month", "year")
"""Calendar intervals, finest first. Panels ask for days.

A contract's event is of one of the years 1 to 9999, so years always fit.
"""
MS_PER_DAY = 86_400_000


def with_interval(body: Mapping[str, Any], interval: str) -> dict[str, Any]:
    """Return a search whose histograms of days use another interval of `INTERVALS`."""

    def replace(node: dict[str, Any]) -> dict[str, Any]:
        if node.get("calendar_interval") == "day":
            return {**node, "calendar_interval": interval}
        return node

    result: dict[str, Any] = json.loads(json.dumps(body), object_hook=replace)
    return result


def has_days(body: Mapping[str, Any]) -> bool:
    """Return whether a search has a histogram of days."""
    return with_interval(body, "month") != body


def add_span(body: Mapping[str, Any], response: dict[str, Any], interval: str) -> None:
    """Add `span_days`, the length in days, to every bucket of the histograms in a response.

    Charts divide by it, so they show the average of a day whatever the interval is.

    Args:
        body: the search, with histograms of days.
        response: the response for `interval`; it is changed.
        interval: one of `INTERVALS`.
    """
    _add_span(body.get("aggs", {}), response.get("aggregations", {}), interval)


def _add_span(aggregations: Mapping[str, Any], results: Mapping[str, Any], interval: str) -> None:
    for name, aggregation in aggregations.items():
        is_days = aggregation.get("date_histogram", {}).get("calendar_interval") == "day"
        for bucket in results.get(name, {}).get("buckets", []):
            if is_days:
                bucket["span_days"] = _days(bucket["key"], interval)
            _add_span(aggregation.get("aggs", {}), bucket, interval)


def _days(key: float, interval: str) -> int:
    """Return the length of the interval that starts `key` milliseconds after 1970."""
    start = date.fromordinal(date(1970, 1, 1).toordinal() + int(key // MS_PER_DAY))
    if interval == "month":
        return calendar.monthrange(start.year, start.month)[1]
    return 366 if calendar.isleap(start.year) else 365
