"""Panels, filters and what is made of them for Kibana."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
import vl_convert

from dashboards import kibana
from dashboards.filters import BadFilter, Filters, search
from dashboards.kibana import DATA_VIEWS, import_objects, ndjson, saved_objects
from dashboards.panels import Panel, read_panels
from dashboards.server import VL_VERSION
from processing.charts import MAPPINGS
from processing.profiles import PROFILE_SCHEMA

PANELS = {panel.name: panel for panel in read_panels()}
FIELDS = {"customer_profiles": set(PROFILE_SCHEMA), **{name: set(fields) for name, fields in MAPPINGS.items()}}


def fields_of(body: Any) -> set[str]:
    """Every field that a search names."""
    found: set[str] = set()
    if isinstance(body, dict):
        for key, value in body.items():
            if key == "field":
                found.add(value)
            elif key in ("term", "terms", "range") and isinstance(value, dict) and "field" not in value:
                found |= set(value)
            elif key == "sort":
                found |= {name for entry in value for name in entry}
            elif key == "_source":
                found |= set(value)
            else:
                found |= fields_of(value)
    elif isinstance(body, list):
        found = set().union(*map(fields_of, body))
    return found


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_a_panel_asks_for_fields_that_there_are_and_is_vega_lite(panel: Panel) -> None:
    assert fields_of(panel.body) <= FIELDS[panel.index]
    assert panel.time_field is None or panel.time_field in FIELDS[panel.index]
    for version, release in (("v5", "5.21"), ("v6", VL_VERSION)):
        spec = {**panel.specification({"values": []}, version), "width": 300}
        assert vl_convert.vegalite_to_vega(json.dumps(spec), vl_version=release)["marks"]


def test_filters_are_read_from_an_address() -> None:
    given = {"segment": "High Value", "brand": "", "since": "2020-10-01"}
    assert Filters.from_query(given) == Filters(segment="High Value", since=date(2020, 10, 1))
    with pytest.raises(BadFilter, match="no filter colour"):
        Filters.from_query({"colour": "red"})
    with pytest.raises(BadFilter, match="since=yesterday is no day"):
        Filters.from_query({"since": "yesterday"})


def test_all_filters_reach_every_panel_about_customers_and_none_about_the_pipeline() -> None:
    everything = Filters("S", "c", "b", date(2020, 1, 1), date(2020, 1, 31))
    for panel in PANELS.values():
        added = len(search(panel, everything)["query"]["bool"]["filter"]) - len(panel.body["query"]["bool"]["filter"])
        assert added == (4 if panel.time_field else 0), panel.name
        assert search(panel, Filters()) == panel.body
    assert all(panel.time_field for panel in PANELS.values() if panel.dashboard == "customers")


def test_favourites_below_a_top_level_count_as_it_and_none_means_none() -> None:
    filters = Filters(category="auto", brand="(none)")
    assert filters.clauses(PANELS["segments"]) == [
        {
            "bool": {
                "should": [{"term": {"favorite_category": "auto"}}, {"prefix": {"favorite_category": "auto."}}],
                "minimum_should_match": 1,
            }
        },
        {"bool": {"must_not": {"exists": {"field": "favorite_brand"}}}},
    ]
    assert filters.clauses(PANELS["revenue"]) == [{"term": {"category": "auto"}}, {"term": {"brand": "(none)"}}]


def test_saved_objects_keep_the_documented_format() -> None:
    lines = ndjson().splitlines()
    objects = [json.loads(line) for line in lines]
    assert objects == saved_objects()
    known: set[tuple[str, str]] = set()
    for item in objects:
        assert set(item) == {"id", "type", "attributes", "references"}
        for reference in item["references"]:
            # To something that came before, so an import finds it.
            assert (reference["type"], reference["id"]) in known
        known.add((item["type"], item["id"]))
    assert len(known) == len(objects)
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
        placed = json.loads(item["attributes"]["panelsJSON"])
        assert [f"{place['panelIndex']}:{place['panelRefName']}" for place in placed] == [
            reference["name"] for reference in item["references"]
        ]
        cells: set[tuple[int, int]] = set()
        for place in placed:
            grid = place["gridData"]
            taken = {
                (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
            }
            assert not cells & taken
            assert grid["x"] + grid["w"] <= 48
            cells |= taken


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_kibana_gets_the_search_of_the_panel_under_its_own_filters(panel: Panel) -> None:
    data = kibana.specification(panel)["data"]
    assert data["format"] == {"property": panel.rows}
    url = data["url"]
    assert url["index"] == panel.index
    own = [entry for entry in url["body"]["query"]["bool"]["filter"] if entry in panel.body["query"]["bool"]["filter"]]
    assert own == panel.body["query"]["bool"]["filter"]
    assert ("%dashboard_context-filter_clause%" in json.dumps(url)) == bool(panel.time_field)
    assert url["body"].get("aggs") == panel.body.get("aggs")


def test_a_kibana_that_is_away_is_said_so() -> None:
    with pytest.raises(kibana.KibanaError, match=r"does not answer on http://127\.0\.0\.1:9"):
        import_objects("http://127.0.0.1:9", "")
