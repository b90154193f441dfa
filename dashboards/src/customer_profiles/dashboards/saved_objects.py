"""The panels as Kibana's saved objects: data views, searches, visualizations and dashboards.

The format is that of Kibana's import API: NDJSON, one object per line. This module uses only the
standard library, because `kibana.py` imports it in a container without this package's dependencies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from customer_profiles.dashboards.panels import Panel, read_panels

DATA_VIEWS = {
    "customer_profiles": "last_seen",
    "event_metrics": "time",
    "pipeline_runs": "time",
    "rejected_rows": "time",
}
"""Indices, each with the field that Kibana's time range filters."""
DASHBOARDS = {"customers": "Customer profiles", "pipeline": "Customer profiles: the pipeline"}
"""Titles of the dashboards, by `Panel.dashboard`."""
SEARCHES = {
    "best-customers": (
        "Best customers",
        "customer_profiles",
        [
            "user_id",
            "customer_segment",
            "total_revenue",
            "total_purchases",
            "favorite_category",
            "favorite_brand",
        ],
        "total_revenue",
    ),
    "latest-runs": (
        "Latest runs",
        "pipeline_runs",
        ["kind", "events", "customers", "misfits", "seconds"],
        "time",
    ),
}
"""Saved searches: title, index, columns, and the field to sort by, highest first."""
GRID_COLUMNS = 48
"""Columns of a dashboard's grid."""
GRID_WIDTHS = {"full": 48, "half": 24, "third": 16}
"""Columns of a panel, by `Panel.width`."""
GRID_HEIGHT = 12
"""Rows of a panel."""
DATA_VIEW_REFERENCE = "kibanaSavedObjectMeta.searchSourceJSON.index"
"""The name under which a search refers to its data view."""
NO_SEARCH = {"query": {"query": "", "language": "kuery"}, "filter": []}


def saved_objects() -> list[dict[str, Any]]:
    """Return all saved objects. An object comes after the objects that it refers to."""
    panels = read_panels()
    return [
        *(_data_view(index, field) for index, field in DATA_VIEWS.items()),
        *(_search(name, *content) for name, content in SEARCHES.items()),
        *(_visualization(panel) for panel in panels),
        *(
            _dashboard(name, title, [panel for panel in panels if panel.dashboard == name])
            for name, title in DASHBOARDS.items()
        ),
    ]


def to_ndjson() -> str:
    """Return the saved objects as a file for Kibana's import."""
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in saved_objects())


def specification(panel: Panel) -> dict[str, Any]:
    """Return a panel's Vega-Lite for Kibana.

    Kibana runs the search itself, under the filters and the time range of the dashboard.
    """
    body: dict[str, Any] = json.loads(json.dumps(panel.body))
    if panel.time_field:
        clauses = body["query"]["bool"]
        clauses["must"] = ["%dashboard_context-must_clause%"]
        clauses["must_not"] = ["%dashboard_context-must_not_clause%"]
        clauses["filter"] = [
            *clauses["filter"],
            "%dashboard_context-filter_clause%",
            {"range": {panel.time_field: {"%timefilter%": True}}},
        ]
    url = {"index": panel.index, "body": body}
    spec = panel.specification({"url": url, "format": {"property": panel.rows}}, "v5")
    # Kibana sizes a chart to its panel of the dashboard.
    unused = ("width", "height", "description")
    return {name: value for name, value in spec.items() if name not in unused}


def _data_view(index: str, time_field: str) -> dict[str, Any]:
    attributes = {"title": index, "name": index, "timeFieldName": time_field}
    return _object("index-pattern", index, attributes, [])


def _search(name: str, title: str, index: str, columns: list[str], order: str) -> dict[str, Any]:
    attributes = {
        "title": title,
        "description": "",
        "columns": columns,
        "sort": [[order, "desc"]],
        **_search_source({**NO_SEARCH, "indexRefName": DATA_VIEW_REFERENCE}),
    }
    reference = {"name": DATA_VIEW_REFERENCE, "type": "index-pattern", "id": index}
    return _object("search", name, attributes, [reference])


def _visualization(panel: Panel) -> dict[str, Any]:
    state = {
        "title": panel.title,
        "type": "vega",
        "aggs": [],
        "params": {"spec": json.dumps(specification(panel), indent=2, ensure_ascii=False)},
    }
    attributes = {
        "title": panel.title,
        "description": panel.about,
        "visState": json.dumps(state, ensure_ascii=False),
        "uiStateJSON": "{}",
        "version": 1,
        **_search_source(NO_SEARCH),
    }
    return _object("visualization", panel.name, attributes, [])


def _dashboard(name: str, title: str, panels: list[Panel]) -> dict[str, Any]:
    """Place panels from left to right, and start a new row where one does not fit."""
    placements, references = [], []
    x = y = 0
    for number, panel in enumerate(panels, 1):
        width = GRID_WIDTHS[panel.width]
        if x + width > GRID_COLUMNS:
            x, y = 0, y + GRID_HEIGHT
        grid = {"x": x, "y": y, "w": width, "h": GRID_HEIGHT, "i": str(number)}
        placements.append(
            {
                "type": "visualization",
                "panelIndex": str(number),
                "gridData": grid,
                "embeddableConfig": {"enhancements": {}},
                "panelRefName": f"panel_{number}",
            }
        )
        references.append(
            {"name": f"{number}:panel_{number}", "type": "visualization", "id": panel.name}
        )
        x += width
    attributes = {
        "title": title,
        "description": "",
        "panelsJSON": json.dumps(placements),
        "optionsJSON": json.dumps({"useMargins": True, "hidePanelTitles": False}),
        "timeRestore": True,
        # Show everything: the events of a lake may be years old.
        "timeFrom": "2000-01-01T00:00:00.000Z",
        "timeTo": "now",
        "version": 1,
        **_search_source(NO_SEARCH),
    }
    return _object("dashboard", name, attributes, references)


def _search_source(source: Mapping[str, Any]) -> dict[str, Any]:
    return {"kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps(source)}}


def _object(
    kind: str, name: str, attributes: Mapping[str, Any], references: list[dict[str, str]]
) -> dict[str, Any]:
    return {
        "id": _object_id(name),
        "type": kind,
        "attributes": attributes,
        "references": [
            {**reference, "id": _object_id(reference["id"])} for reference in references
        ],
    }


def _object_id(name: str) -> str:
    return f"customer-profiles-{name.replace('_', '-')}"
