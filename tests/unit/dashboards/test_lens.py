"""Kibana's saved objects: fields exist, references resolve, schemas hold, and nothing changes
unnoticed. `tests/fixtures/kibana.ndjson` is what was reviewed last."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from customer_profiles.dashboards.data_range import read_time_range
from customer_profiles.dashboards.lens import conditions_to_kql
from customer_profiles.dashboards.panels import TIME_FIELDS, read_panels
from customer_profiles.dashboards.saved_objects import (
    CONTROLS,
    CORE_VERSION,
    TYPE_VERSIONS,
    VERSION,
    TimeRange,
    saved_objects,
    to_ndjson,
)
from tests.support import ROOT
from tests.unit.dashboards.test_panels import FIELDS

PANELS = {panel.name: panel for panel in read_panels()}
OBJECTS = saved_objects()
DASHBOARDS = [item for item in OBJECTS if item["type"] == "dashboard"]
GOLDEN = ROOT / "tests/fixtures/kibana.ndjson"
SCHEMAS = json.loads((Path(__file__).parent / "kibana_schemas.json").read_text())
INDICES = {
    item["id"]: item["attributes"]["title"] for item in OBJECTS if item["type"] == "index-pattern"
}


def validate(value: Any, name: str) -> None:
    Draft202012Validator({**SCHEMAS, "$ref": f"#/$defs/{name}"}).validate(value)


def placements(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = json.loads(dashboard["attributes"]["panelsJSON"])
    return panels


LENS = {
    placement["panelIndex"]: placement["embeddableConfig"]["attributes"]
    for dashboard in DASHBOARDS
    for placement in placements(dashboard)
    if placement["type"] == "lens"
}


def layer_of(attributes: dict[str, Any]) -> dict[str, Any]:
    ((_, layer),) = attributes["state"]["datasourceStates"]["formBased"]["layers"].items()
    checked: dict[str, Any] = layer
    return checked


def test_the_objects_are_those_that_were_reviewed() -> None:
    assert to_ndjson() == GOLDEN.read_text("utf-8"), (
        "The objects have changed. Look at the difference, then accept it:\n"
        f"python -m customer_profiles.dashboards kibana > {GOLDEN.relative_to(ROOT)}"
    )


def test_an_import_again_replaces_the_same_objects() -> None:
    """Ids do not depend on the data, the ports or the moment."""
    again = saved_objects(TimeRange("2020-01-01T00:00:00.000Z", "now"), 8051)
    assert [(item["type"], item["id"]) for item in again] == [
        (item["type"], item["id"]) for item in OBJECTS
    ]
    assert {item["id"] for item in OBJECTS} > {
        "customer-profiles-customers",
        "customer-profiles-pipeline",
        "customer-profiles-best-customers",
        "customer-profiles-latest-runs",
    }


def test_every_object_passes_the_schema_of_its_format_version() -> None:
    for item in OBJECTS:
        assert set(item) == {
            "id",
            "type",
            "attributes",
            "references",
            "coreMigrationVersion",
            "typeMigrationVersion",
        }
        assert item["coreMigrationVersion"] == CORE_VERSION
        assert item["typeMigrationVersion"] == TYPE_VERSIONS[item["type"]]
        validate(item["attributes"], item["type"])
        for reference in item["references"]:
            validate(reference, "reference")
    for dashboard in DASHBOARDS:
        validate(placements(dashboard), "panels")
        if controls := dashboard["attributes"].get("controlGroupInput"):
            validate(json.loads(controls["panelsJSON"]), "controls")


def test_every_reference_resolves_to_an_object_that_comes_before() -> None:
    imported: set[tuple[str, str]] = set()
    for item in OBJECTS:
        names = [reference["name"] for reference in item["references"]]
        assert len(names) == len(set(names))
        for reference in item["references"]:
            assert (reference["type"], reference["id"]) in imported
        imported.add((item["type"], item["id"]))
    assert len(imported) == len(OBJECTS)


def test_a_dashboard_refers_to_what_its_panels_and_controls_name() -> None:
    for dashboard in DASHBOARDS:
        expected = set()
        for placement in placements(dashboard):
            index = placement["panelIndex"]
            if placement["type"] == "lens":
                attributes = placement["embeddableConfig"]["attributes"]
                expected |= {
                    (f"{index}:{reference['name']}", reference["id"])
                    for reference in attributes["references"]
                }
            else:
                expected.add((f"{index}:{placement['panelRefName']}", None))
        names = {reference["name"]: reference["id"] for reference in dashboard["references"]}
        controls = dashboard["attributes"].get("controlGroupInput")
        for name in json.loads(controls["panelsJSON"]) if controls else ():
            expected.add((f"controlGroup_{name}:optionsListDataView", None))
        assert set(names) == {name for name, _ in expected}
        assert all(names[name] == id_ for name, id_ in expected if id_)


@pytest.mark.parametrize("name", LENS)
def test_the_columns_of_a_panel_read_fields_that_exist_and_name_each_other(name: str) -> None:
    attributes = LENS[name]
    (reference,) = attributes["references"]
    index = INDICES[reference["id"]]
    assert index == PANELS[name].index
    (layer_id,) = attributes["state"]["datasourceStates"]["formBased"]["layers"]
    assert reference["name"] == f"indexpattern-datasource-layer-{layer_id}"
    layer = layer_of(attributes)
    columns = layer["columns"]
    assert layer["columnOrder"] == list(columns)
    for column in columns.values():
        if column.get("sourceField", "___records___") != "___records___":
            assert column["sourceField"] in FIELDS[index]
        assert set(column.get("references", ())) <= set(columns)
        if column["operationType"] == "terms":
            order = column["params"]["orderBy"]
            # Lens orders by no formula.
            is_ratio = columns["value"]["operationType"] == "formula"
            assert is_ratio == (order["type"] == "alphabetical")
            assert is_ratio or order["columnId"] in columns
    drawing = attributes["state"]["visualization"]
    if attributes["visualizationType"] == "lnsMetric":
        assert drawing["layerId"] == layer_id
        assert drawing["metricAccessor"] in columns
        return
    (drawn,) = drawing["layers"]
    assert drawn["layerId"] == layer_id
    accessors = [
        *drawn["accessors"],
        drawn["xAccessor"],
        *filter(None, [drawn.get("splitAccessor")]),
    ]
    assert set(accessors) <= set(columns)
    # Bucketed columns come first, the outer one before the inner one.
    assert [columns[column]["isBucketed"] for column in layer["columnOrder"]] == sorted(
        (columns[column]["isBucketed"] for column in layer["columnOrder"]), reverse=True
    )


def test_every_panel_is_in_kibana_once() -> None:
    shown = [item["panelIndex"] for dashboard in DASHBOARDS for item in placements(dashboard)]
    assert sorted(shown) == sorted([*PANELS, *["explanation"] * len(DASHBOARDS)])


def test_a_dashboard_places_its_panels_without_overlap_and_without_holes() -> None:
    for dashboard in DASHBOARDS:
        cells: set[tuple[int, int]] = set()
        grids = [placement["gridData"] for placement in placements(dashboard)]
        for grid in grids:
            panel_cells = {
                (x, y)
                for x in range(grid["x"], grid["x"] + grid["w"])
                for y in range(grid["y"], grid["y"] + grid["h"])
            }
            assert not cells & panel_cells
            cells |= panel_cells
        assert len(cells) == 48 * max(grid["y"] + grid["h"] for grid in grids)


def test_controls_reach_every_panel_of_their_dashboard() -> None:
    with_controls = [item["id"] for item in DASHBOARDS if "controlGroupInput" in item["attributes"]]
    assert with_controls == ["customer-profiles-customers"]
    for panel in PANELS.values():
        if panel.dashboard == "customers":
            assert set(CONTROLS) <= FIELDS[panel.index], panel.name


def test_times_are_the_dashboards_or_the_panels_own() -> None:
    for dashboard in DASHBOARDS:
        attributes = dashboard["attributes"]
        assert attributes["timeRestore"]
        assert attributes["refreshInterval"] == {"pause": True, "value": 60_000}
        for placement in placements(dashboard):
            if placement["panelIndex"] not in PANELS:
                continue
            panel = PANELS[placement["panelIndex"]]
            own = placement["embeddableConfig"].get("timeRange")
            assert (own is None) == (panel.range in ("dashboard", "all"))
            if placement["type"] != "lens":
                continue
            (reference,) = placement["embeddableConfig"]["attributes"]["references"]
            assert reference["id"].endswith("-all") == (panel.range == "all")
            for column in layer_of(placement["embeddableConfig"]["attributes"])["columns"].values():
                if column["operationType"] == "date_histogram":
                    # Otherwise the time range would filter this field instead.
                    is_filtered = column["sourceField"] == TIME_FIELDS[panel.index]
                    ignored = not is_filtered or panel.range == "all"
                    assert column["params"]["ignoreTimeRange"] == ignored
    for item in OBJECTS:
        if item["type"] == "search":
            assert item["attributes"]["timeRestore"]
            assert set(item["attributes"]["timeRange"]) == {"from", "to"}


def test_the_dashboards_open_on_the_range_of_the_data() -> None:
    def response(first: float | None, last: float | None) -> dict[str, Any]:
        return {"aggregations": {"first": {"value": first}, "last": {"value": last}}}

    now = datetime(2021, 3, 1, 12, tzinfo=UTC)
    day_ms = 86_400_000.0
    old = read_time_range(response(18_529 * day_ms, 18_686 * day_ms), now)
    assert old == TimeRange("2020-09-24T00:00:00.000Z", "2021-02-28T23:59:59.999Z")
    live = read_time_range(response(18_529 * day_ms, 18_687 * day_ms), now)
    assert live == TimeRange("2020-09-24T00:00:00.000Z", "now")
    assert read_time_range(response(None, None), now) is None
    assert old
    dashboard = saved_objects(old)[-1]["attributes"]
    assert (dashboard["timeFrom"], dashboard["timeTo"]) == (old.since, old.until)


def test_dashboards_say_their_version_and_explain_every_number() -> None:
    assert f'version = "{VERSION}"' in (ROOT / "dashboards/pyproject.toml").read_text()
    texts = [
        json.loads(item["attributes"]["visState"])["params"]["markdown"]
        for item in OBJECTS
        if item["type"] == "visualization"
    ]
    assert all(f"Customer profiles {VERSION}" in text for text in texts)
    for panel in PANELS.values():
        assert any(panel.explanation in text for text in texts)


def test_a_customers_id_leads_to_the_page() -> None:
    (view,) = [
        item["attributes"]
        for item in saved_objects(page_port=8060)
        if item["id"] == "customer-profiles-customer-profiles"
    ]
    parameters = json.loads(view["fieldFormatMap"])["user_id"]["params"]
    assert parameters["urlTemplate"] == "http://127.0.0.1:8060/customer/{{value}}"


def test_conditions_are_quoted_in_kibanas_query_language() -> None:
    conditions = {"brand": 'a "b" \\ c', "kind": ["x", "y"], "events": {"gt": 0, "lte": 5}}
    assert conditions_to_kql(conditions) == (
        r'brand : "a \"b\" \\ c" and kind : ("x" or "y") and events > 0 and events <= 5'
    )
