"""What changed: two periods of the same length, compared. Pure functions over searches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from customer_profiles.dashboards.panels import Panel
from customer_profiles.dashboards.searches import measure_aggregations, measure_value, own_clauses
from customer_profiles.profiles.event_counts import OTHER

RECENT_DAYS = 30
"""The length of a period if the data have no full period before the time range."""
STEPS = 40
"""The most points of a sparkline."""
MOVEMENTS = 3
DIMENSIONS = {"segment": "customer_segment", "category": "category", "brand": "brand"}
"""Names of filters, with the fields whose values are compared."""
Clauses = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Periods:
    """A period, and the one of the same length directly before it. Days are inclusive."""

    first: date
    """The first day of the time range, for sparklines."""
    since: date
    until: date
    before_since: date
    before_until: date

    @property
    def days(self) -> int:
        """The length of each period."""
        return (self.until - self.since).days + 1


def choose_periods(
    since: date | None, until: date | None, first: date, last: date
) -> Periods | None:
    """Choose the two periods to compare.

    The time range is compared with the days before it. If the data do not reach back far enough,
    its last 30 days are compared with the 30 days before, or its second half with its first one if
    it is shorter.

    Args:
        since: the first day of the time range; None for all.
        until: the last day.
        first: the first day of the data.
        last: the last day.

    Returns:
        None if the time range has fewer than two days of data.
    """
    start, end = max(since or first, first), min(until or last, last)
    days = (end - start).days + 1
    if days < 1:
        return None
    if (start - first).days < days:
        days = min(RECENT_DAYS, days // 2)
    if days < 1:
        return None
    now = end - timedelta(days - 1)
    return Periods(start, now, end, now - timedelta(days), now - timedelta(1))


def figure_search(panel: Panel, periods: Periods, clauses: Clauses) -> dict[str, Any]:
    """Return the search for the two periods of a figure and its sparkline.

    Args:
        panel: a `metric`.
        periods: what is compared.
        clauses: the filters that people chose, without the time range.
    """
    field = panel.time_field
    inner = measure_aggregations(panel.number)
    days = (periods.until - periods.first).days + 1
    step = -(-days // STEPS)
    ends = [periods.until - timedelta(step * number) for number in reversed(range(days // step))]
    ranges = [
        {"from": (end - timedelta(step - 1)).isoformat(), "to": f"{end}||+1d"} for end in ends
    ]
    # A customer counts in each step with an event, and the days of other steps are left out.
    steps: dict[str, Any] = {"date_range": {"field": field, "ranges": ranges}}
    if inner:
        steps["aggs"] = inner
    aggs = {
        name: {"filter": _range(field, *limits), **({"aggs": inner} if inner else {})}
        for name, limits in _limits(periods)
    }
    # The other documents are not looked at.
    spark = {"filter": _range(field, periods.first, periods.until), "aggs": {"steps": steps}}
    query = {"bool": {"filter": [*own_clauses(panel), *clauses]}}
    return {"size": 0, "query": query, "aggs": {**aggs, "spark": spark}}


def read_figure(panel: Panel, response: Mapping[str, Any]) -> dict[str, Any]:
    """Return `now`, `before` and the values of the sparkline from a response to `figure_search`."""
    results = response["aggregations"]
    measure = panel.number
    return {
        **{name: measure_value(measure, results[name]) for name in ("now", "before")},
        "spark": [measure_value(measure, step) for step in results["spark"]["steps"]["buckets"]],
    }


def no_figure() -> dict[str, Any]:
    """Return what `read_figure` does, for an index that does not exist yet."""
    return {"now": None, "before": None, "spark": []}


def movement_search(periods: Periods, clauses: Clauses) -> dict[str, Any]:
    """Return the search in `event_metrics` for the revenue of each segment, category and brand."""
    revenue = {"revenue": {"sum": {"field": "revenue"}}}
    by = {
        name: {
            "terms": {"field": field, "size": 100, "order": {"revenue": "desc"}},
            "aggs": revenue,
        }
        for name, field in DIMENSIONS.items()
    }
    aggs = {
        name: {"filter": _range("time", *limits), "aggs": {**revenue, **by}}
        for name, limits in _limits(periods)
    }
    aggs["range"] = {
        "filter": _range("time", periods.first, periods.until),
        "aggs": {**revenue, "segment": by["segment"]},
    }
    query = {"bool": {"filter": [{"term": {"granularity": "day"}}, *clauses]}}
    return {"size": 0, "query": query, "aggs": aggs}


def read_movements(response: Mapping[str, Any], chosen: frozenset[str]) -> list[dict[str, Any]]:
    """Return the three values whose revenue changed most, from a response to `movement_search`.

    Args:
        response: of Elasticsearch.
        chosen: the dimensions that a filter fixes; they are left out.

    Returns:
        `dimension`, `key`, `now` and `before`, the largest difference first.
    """
    results = response["aggregations"]

    def revenue_of(period: str, dimension: str) -> dict[str, float]:
        buckets = results[period][dimension]["buckets"]
        return {bucket["key"]: float(bucket["revenue"]["value"]) for bucket in buckets}

    rows: list[dict[str, Any]] = []
    for dimension in DIMENSIONS:
        if dimension in chosen:
            continue
        now, before = revenue_of("now", dimension), revenue_of("before", dimension)
        rows += [
            {
                "dimension": dimension,
                "key": key,
                "now": now.get(key, 0.0),
                "before": before.get(key, 0.0),
            }
            for key in sorted({*now, *before} - {OTHER})
        ]
    moved = [row for row in rows if row["now"] != row["before"]]
    return sorted(moved, key=lambda row: -abs(row["now"] - row["before"]))[:MOVEMENTS]


def read_leader(response: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the segment that earns most in the time range, from `movement_search`.

    Returns:
        `key`, and `share` of the revenue from 0 to 1; None without revenue.
    """
    results = response["aggregations"]["range"]
    all_revenue, segments = results["revenue"]["value"], results["segment"]["buckets"]
    if not all_revenue or not segments:
        return None
    return {"key": segments[0]["key"], "share": segments[0]["revenue"]["value"] / all_revenue}


def _limits(periods: Periods) -> tuple[tuple[str, tuple[date, date]], ...]:
    return (
        ("now", (periods.since, periods.until)),
        ("before", (periods.before_since, periods.before_until)),
    )


def _range(field: str, since: date, until: date) -> dict[str, Any]:
    return {"range": {field: {"gte": since.isoformat(), "lte": f"{until.isoformat()}||/d"}}}
