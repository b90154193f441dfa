"""What Kibana would ask Elasticsearch for a Lens panel, read from the saved objects alone.

Nothing here uses the code that writes the panels, so a column that says something else than the
page's search is found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

CONDITION = re.compile(
    r'(?P<field>\w+) (?:: (?:"(?P<text>(?:[^"\\]|\\.)*)"|\((?P<texts>[^)]*)\))'
    r"|(?P<sign>[<>]=?) (?P<limit>[\d.]+))"
)
SIGNS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
INTERVALS = {"d": "1d", "m": "1m"}
OPERATIONS = {"average": "avg"}
"""Elasticsearch's names of operations, where Kibana has another one."""
Json = dict[str, Any]


def kql_to_clauses(kql: str) -> list[Json]:
    """Translate the part of Kibana's query language that panels use."""
    clauses: list[Json] = []
    for part in kql.split(" and ") if kql else []:
        condition = CONDITION.fullmatch(part)
        assert condition, part
        field = condition["field"]
        if condition["sign"]:
            limit = {SIGNS[condition["sign"]]: float(condition["limit"])}
            clauses.append({"range": {field: limit}})
        elif condition["texts"]:
            texts = re.findall(r'"([^"]*)"', condition["texts"])
            clauses.append({"terms": {field: texts}})
        else:
            text = re.sub(r"\\(.)", r"\1", condition["text"])
            clauses.append({"term": {field: text}})
    return clauses


def to_search(
    attributes: Mapping[str, Any],
    time_field: str | None,
    filters: Mapping[str, str],
    time_range: Mapping[str, str],
) -> Json:
    """Translate a Lens panel into a search.

    Args:
        attributes: of the panel.
        time_field: of the panel's data view.
        filters: fields and the values that controls choose.
        time_range: `gte` and `lte` of the dashboard, or of the panel if it has its own.
    """
    clauses = kql_to_clauses(attributes["state"]["query"]["query"])
    clauses += [{"term": {field: value}} for field, value in filters.items()]
    columns = columns_of(attributes)
    # A date histogram takes the time range over from the data view's field.
    fields = [
        column["sourceField"]
        for column in columns.values()
        if column["operationType"] == "date_histogram" and not column["params"]["ignoreTimeRange"]
    ]
    for field in fields or ([time_field] if time_field else []):
        clauses.append({"range": {field: dict(time_range)}})
    aggregations: Json = {}
    for name, column in columns.items():
        if not column["isBucketed"] and (part := _metric(column)):
            aggregations[name] = part
    for name, column in reversed(columns.items()):
        if column["isBucketed"]:
            aggregations = {name: {**_buckets(column, aggregations), "aggs": aggregations}}
    query = {"bool": {"filter": clauses}}
    return {"size": 0, "track_total_hits": True, "query": query, "aggs": aggregations}


def columns_of(attributes: Mapping[str, Any]) -> dict[str, Json]:
    (layer,) = attributes["state"]["datasourceStates"]["formBased"]["layers"].values()
    return {name: layer["columns"][name] for name in layer["columnOrder"]}


def _metric(column: Json) -> Json | None:
    operation = column["operationType"]
    if operation in ("formula", "math"):
        return None
    inner: Json = (
        {}
        if operation == "count"
        else {"number": {OPERATIONS.get(operation, operation): {"field": column["sourceField"]}}}
    )
    clauses = kql_to_clauses(column["filter"]["query"]) if "filter" in column else []
    return {"filter": {"bool": {"filter": clauses}}, **({"aggs": inner} if inner else {})}


def _buckets(column: Json, inner: Json) -> Json:
    parameters = column["params"]
    if column["operationType"] == "date_histogram":
        # As in UTC, which Kibana is set to.
        interval = INTERVALS[parameters["interval"]]
        return {"date_histogram": {"field": column["sourceField"], "calendar_interval": interval}}
    if column["operationType"] == "filters":
        groups = {
            group["label"]: {"bool": {"filter": kql_to_clauses(group["input"]["query"])}}
            for group in parameters["filters"]
        }
        return {"filters": {"filters": groups}}
    if parameters["orderBy"]["type"] == "alphabetical":
        order = {"_key": parameters["orderDirection"]}
        return {
            "terms": {
                "field": column["sourceField"],
                "size": parameters["size"],
                "order": order,
            }
        }
    order = parameters["orderBy"]["columnId"]
    is_number = order in inner and "aggs" in inner[order]
    path = f"{order}>number" if is_number else (order if order in inner else "_count")
    # Kibana orders by the column, which a nested aggregation computes.
    return {
        "terms": {
            "field": column["sourceField"],
            "size": parameters["size"],
            "order": {path: parameters["orderDirection"]},
        }
    }


def to_rows(attributes: Mapping[str, Any], response: Mapping[str, Any]) -> list[Json]:
    """Return the points that Lens draws: the keys of the bucketed columns by name, and `value`.

    A step of time without documents is left out: the page has none, and Lens draws it as 0.
    """
    columns = columns_of(attributes)
    buckets = [name for name, column in columns.items() if column["isBucketed"]]
    total = response["hits"]["total"]["value"]
    everything = {**response.get("aggregations", {}), "doc_count": total}
    return list(_points(columns, buckets, everything, {}))


def _points(columns: Json, buckets: list[str], result: Json, keys: Json) -> list[Json]:
    if not buckets:
        return [{**keys, "value": _value(columns, "value", result)}]
    name, *rest = buckets
    found = result[name]["buckets"]
    pairs = (
        found.items() if isinstance(found, dict) else [(bucket["key"], bucket) for bucket in found]
    )
    is_time = columns[name]["operationType"] == "date_histogram"
    return [
        point
        for key, bucket in pairs
        if bucket["doc_count"] or not is_time
        for point in _points(columns, rest, bucket, {**keys, name: key})
    ]


def _value(columns: Json, name: str, result: Json) -> float | None:
    column = columns[name]
    if column["operationType"] == "formula":
        (math,) = column["references"]
        left, right = columns[math]["params"]["tinymathAst"]["args"]
        dividend, divisor = (_value(columns, part, result) for part in (left, right))
        return dividend / divisor if dividend is not None and divisor else None
    found = result[name]
    return float(found["doc_count"]) if "number" not in found else found["number"]["value"]
