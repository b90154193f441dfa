"""The search of a panel in Elasticsearch, and its response as flat rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from customer_profiles.dashboards.panels import Conditions, Dimension, Measure, Panel

STEPS: dict[str, dict[str, str]] = {
    "day": {"calendar_interval": "day"},
    "minute": {"fixed_interval": "1m"},
}
"""Parameters of a histogram, by `Dimension.step`."""
BY, SPLIT = "by", "split"
"""Names of aggregations."""


def conditions_to_clauses(conditions: Conditions) -> list[dict[str, Any]]:
    """Return conditions in Elasticsearch's query language."""
    return [_clause(field, wanted) for field, wanted in conditions.items()]


def _clause(field: str, wanted: Any) -> dict[str, Any]:
    if isinstance(wanted, Mapping):
        return {"range": {field: dict(wanted)}}
    return {"terms" if isinstance(wanted, list) else "term": {field: wanted}}


def own_clauses(panel: Panel) -> list[dict[str, Any]]:
    """Return what a panel filters by itself: its conditions, and its time range if it has one."""
    clauses = conditions_to_clauses(panel.where)
    if panel.range not in ("dashboard", "all"):
        clauses.append({"range": {panel.time_field: {"gte": f"now-{panel.range}", "lte": "now"}}})
    return clauses


def panel_search(panel: Panel) -> dict[str, Any]:
    """Return the body of a panel's search, without the filters that people choose."""
    query = {"bool": {"filter": own_clauses(panel)}}
    if panel.measure is None:
        # The order of equal values is the same in every run.
        tie = [{"user_id": "asc"}] if "user_id" in panel.columns else []
        return {
            "size": panel.size,
            "query": query,
            "sort": [{str(panel.sort): "desc"}, *tie],
            "_source": list(panel.columns),
        }
    aggregations = measure_aggregations(panel.measure)
    for name, dimension in ((BY, panel.by), (SPLIT, panel.split)):
        if dimension is not None:
            aggregations = {name: _groups(dimension, panel.measure, aggregations)}
    return {"size": 0, "track_total_hits": True, "query": query, "aggs": aggregations}


def measure_aggregations(measure: Measure) -> dict[str, Any]:
    """Return the aggregations that `measure_value` reads; none for the number of documents."""
    parts = {"value": measure} if measure.per is None else {"value": measure, "per": measure.per}
    return {name: part for name, one in parts.items() if (part := _aggregation(one))}


def _aggregation(measure: Measure) -> dict[str, Any] | None:
    number = {measure.operation.replace("average", "avg"): {"field": measure.field}}
    if not measure.where:
        return None if measure.field is None else number
    condition = {"filter": {"bool": {"filter": conditions_to_clauses(measure.where)}}}
    return condition if measure.field is None else {**condition, "aggs": {"value": number}}


def _groups(dimension: Dimension, measure: Measure, inner: dict[str, Any]) -> dict[str, Any]:
    """Return the aggregation that splits documents into the groups of a dimension."""
    kind: dict[str, Any]
    if dimension.groups:
        groups = {
            group.label: {"bool": {"filter": conditions_to_clauses(group.where)}}
            for group in dimension.groups
        }
        kind = {"filters": {"filters": groups}}
    elif dimension.step:
        # Empty steps would be too many where data are spread over centuries.
        steps = {**STEPS[dimension.step], "min_doc_count": 1}
        kind = {"date_histogram": {"field": dimension.field, **steps}}
    else:
        values: dict[str, Any] = {"field": dimension.field, "size": dimension.size}
        if "value" in inner and measure.per is None and not measure.where:
            values["order"] = [{"value": "desc"}, {"_key": "asc"}]
        elif measure.per is not None:
            # Neither Elasticsearch nor Lens orders by a ratio.
            values["order"] = {"_key": "asc"}
        kind = {"terms": values}
    return {**kind, "aggs": inner} if inner else kind


def panel_rows(panel: Panel, response: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the data of a chart as flat rows.

    Args:
        panel: the panel.
        response: Elasticsearch's response to `panel_search`, with filters or without; None if the
            index does not exist.

    Returns:
        `documents`: the documents' fields. `metric`: one row with `value`. Charts over time: rows
        with `time` in milliseconds since 1970, `value`, `series` if the panel splits, and
        `span_days` where `intervals.add_span` has put it. Others: rows with `key` and `value`, in
        order. `value` is a number or null.
    """
    if response is None:
        return [{"value": None}] if panel.chart == "metric" else []
    if panel.measure is None:
        return [hit["_source"] for hit in response["hits"]["hits"]]
    if panel.by is None:
        everything = {
            "doc_count": response["hits"]["total"]["value"],
            **response.get("aggregations", {}),
        }
        return [{"value": measure_value(panel.measure, everything)}]
    results = response["aggregations"]
    if panel.split is None:
        return [_row(panel, key, bucket) for key, bucket in _buckets(panel.axis, results[BY])]
    return [
        {"series": series, **_row(panel, key, bucket)}
        for series, group in _buckets(panel.split, results[SPLIT])
        for key, bucket in _buckets(panel.axis, group[BY])
    ]


def _row(panel: Panel, key: Any, bucket: Mapping[str, Any]) -> dict[str, Any]:
    name = "time" if panel.axis.step else "key"
    row = {name: key, "value": measure_value(panel.number, bucket)}
    return {**row, "span_days": bucket["span_days"]} if "span_days" in bucket else row


def _buckets(
    dimension: Dimension, result: Mapping[str, Any]
) -> list[tuple[Any, Mapping[str, Any]]]:
    buckets = result["buckets"]
    labels = [group.label for group in dimension.groups]
    if isinstance(buckets, Mapping):
        # Elasticsearch sorts groups by name.
        return [(label, buckets[label]) for label in labels if label in buckets]
    return [(bucket["key"], bucket) for bucket in buckets]


def measure_value(measure: Measure, bucket: Mapping[str, Any]) -> float | None:
    """Return the number of one group of documents; null if it has none.

    Args:
        measure: what is measured.
        bucket: `doc_count`, and the results of `measure_aggregations`.
    """
    value = _number(measure, bucket, "value")
    if measure.per is None:
        return value
    divisor = _number(measure.per, bucket, "per")
    return value / divisor if value is not None and divisor else None


def _number(measure: Measure, bucket: Mapping[str, Any], name: str) -> float | None:
    if name not in bucket:
        return float(bucket["doc_count"])
    result = bucket[name]
    if not measure.where:
        return _of(result)
    return float(result["doc_count"]) if measure.field is None else _of(result["value"])


def _of(result: Mapping[str, Any]) -> float | None:
    value: float | None = result["value"]
    return value
