"""Panels, filters and Kibana's saved objects."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
import vl_convert

from customer_profiles.dashboards.filters import Filters, InvalidFilterError, search_body
from customer_profiles.dashboards.kibana import KibanaError, import_objects
from customer_profiles.dashboards.panels import Panel, read_panels
from customer_profiles.dashboards.saved_objects import (
    DATA_VIEWS,
    saved_objects,
    specification,
    to_ndjson,
)
from customer_profiles.dashboards.vega import VL_VERSION
from customer_profiles.profiles.schema import PROFILE_SCHEMA
from customer_profiles.search.metrics_indices import MAPPINGS

PANELS = {panel.name: panel for panel in read_panels()}
FIELDS = {
    "customer_profiles": set(PROFILE_SCHEMA),
    **{name: set(fields) for name, fields in MAPPINGS.items()},
}


def fields_of(body: Any) -> set[str]:
    """Return every field that a search names."""
    fields: set[str] = set()
    if isinstance(body, dict):
        for key, value in body.items():
            if key == "field":
                fields.add(value)
            elif (
                key in ("term", "terms", "range")
                and isinstance(value, dict)
                and "field" not in value
            ):
                fields |= set(value)
            elif key == "sort":
                fields |= {name for entry in value for name in entry}
            elif key == "_source":
                fields |= set(value)
            else:
                fields |= fields_of(value)
    elif isinstance(body, list):
        fields = set().union(*map(fields_of, body))
    return fields


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_a_panel_searches_existing_fields_and_is_valid_vega_lite(panel: Panel) -> None:
    assert fields_of(panel.body) <= FIELDS[panel.index]
    assert panel.time_field is None or panel.time_field in FIELDS[panel.index]
    for version, release in (("v5", "5.21"), ("v6", VL_VERSION)):
        spec = {**panel.specification({"values": []}, version), "width": 300}
        assert vl_convert.vegalite_to_vega(json.dumps(spec), vl_version=release)["marks"]


def test_filters_are_read_from_query_parameters() -> None:
    parameters = {"segment": "High Value", "brand": "", "since": "2020-10-01"}
    assert Filters.from_query(parameters.items()) == Filters(
        segment="High Value", since=date(2020, 10, 1)
    )
    with pytest.raises(InvalidFilterError, match="no filter colour"):
        Filters.from_query([("colour", "red")])
    with pytest.raises(InvalidFilterError, match="since=yesterday is no day"):
        Filters.from_query([("since", "yesterday")])


def test_filters_apply_to_customer_panels_and_not_to_pipeline_panels() -> None:
    all_filters = Filters("S", "c", "b", date(2020, 1, 1), date(2020, 1, 31))
    for panel in PANELS.values():
        added_clauses = len(search_body(panel, all_filters)["query"]["bool"]["filter"]) - len(
            panel.body["query"]["bool"]["filter"]
        )
        assert added_clauses == (4 if panel.time_field else 0), panel.name
        assert search_body(panel, Filters()) == panel.body
    assert all(panel.time_field for panel in PANELS.values() if panel.dashboard == "customers")


def test_a_category_filter_includes_subcategories_and_none_matches_a_missing_favorite() -> None:
    filters = Filters(category="auto", brand="(none)")
    assert filters.clauses(PANELS["segments"]) == [
        {
            "bool": {
                "should": [
                    {"term": {"favorite_category": "auto"}},
                    {"prefix": {"favorite_category": "auto."}},
                ],
                "minimum_should_match": 1,
            }
        },
        {"bool": {"must_not": {"exists": {"field": "favorite_brand"}}}},
    ]
    assert filters.clauses(PANELS["revenue"]) == [
        {"term": {"category": "auto"}},
        {"term": {"brand": "(none)"}},
    ]


def test_saved_objects_keep_the_documented_format() -> None:
    lines = to_ndjson().splitlines()
    objects = [json.loads(line) for line in lines]
    assert objects == saved_objects()
    imported: set[tuple[str, str]] = set()
    for item in objects:
        assert set(item) == {"id", "type", "attributes", "references"}
        for reference in item["references"]:
            # Kibana resolves a reference only to an object that it imported before.
            assert (reference["type"], reference["id"]) in imported
        imported.add((item["type"], item["id"]))
    assert len(imported) == len(objects)
    kinds = [item["type"] for item in objects]
    assert kinds.count("index-pattern") == len(DATA_VIEWS)
    assert kinds.count("visualization") == len(PANELS)
    assert kinds.count("dashboard") == 2
    views = [item["attributes"] for item in objects if item["type"] == "index-pattern"]
    assert {view["title"]: view["timeFieldName"] for view in views} == DATA_VIEWS
    assert all(field in FIELDS[name] for name, field in DATA_VIEWS.items())


def test_a_dashboard_places_each_of_its_panels_once_without_overlap() -> None:
    for item in saved_objects():
        if item["type"] != "dashboard":
            continue
        placements = json.loads(item["attributes"]["panelsJSON"])
        assert [
            f"{placement['panelIndex']}:{placement['panelRefName']}" for placement in placements
        ] == [reference["name"] for reference in item["references"]]
        cells: set[tuple[int, int]] = set()
        for placement in placements:
            grid = placement["gridData"]
            panel_cells = {
                (x, y)
                for x in range(grid["x"], grid["x"] + grid["w"])
                for y in range(grid["y"], grid["y"] + grid["h"])
            }
            assert not cells & panel_cells
            assert grid["x"] + grid["w"] <= 48
            cells |= panel_cells


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_kibana_adds_its_filters_to_the_search_of_the_panel(panel: Panel) -> None:
    data = specification(panel)["data"]
    assert data["format"] == {"property": panel.rows}
    url = data["url"]
    assert url["index"] == panel.index
    panel_filters = [
        entry
        for entry in url["body"]["query"]["bool"]["filter"]
        if entry in panel.body["query"]["bool"]["filter"]
    ]
    assert panel_filters == panel.body["query"]["bool"]["filter"]
    assert ("%dashboard_context-filter_clause%" in json.dumps(url)) == bool(panel.time_field)
    assert url["body"].get("aggs") == panel.body.get("aggs")


def test_an_unreachable_kibana_is_reported() -> None:
    with pytest.raises(KibanaError, match=r"does not answer on http://127\.0\.0\.1:9"):
        import_objects("http://127.0.0.1:9", "")
