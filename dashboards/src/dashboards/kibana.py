"""The panels as saved objects of Kibana: data views, searches, Vega visualizations and dashboards.

Written for the import API of Kibana's saved objects (NDJSON, one object a line), and with nothing but
the standard library, so that a container without this package's dependencies can import them.
"""

from __future__ import annotations

import base64
import json
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from typing import Any

from dashboards.panels import Panel, read_panels

DATA_VIEWS = {
    "customer_profiles": "last_seen",
    "event_metrics": "time",
    "pipeline_runs": "time",
    "rejected_rows": "time",
}
"""Indices, and the field of each that Kibana's range of time is about."""
DASHBOARDS = {"customers": "Customer profiles", "pipeline": "Customer profiles: the pipeline"}
SEARCHES = {
    "best-customers": (
        "Best customers",
        "customer_profiles",
        ["user_id", "customer_segment", "total_revenue", "total_purchases", "favorite_category", "favorite_brand"],
        "total_revenue",
    ),
    "latest-runs": ("Latest runs", "pipeline_runs", ["kind", "events", "customers", "misfits", "seconds"], "time"),
}
COLUMNS = 48
"""Of a dashboard's grid."""
WIDTHS = {"full": 48, "half": 24, "third": 16}
REF_DATA_VIEW = "kibanaSavedObjectMeta.searchSourceJSON.index"


class KibanaError(RuntimeError):
    """Kibana did not take the objects."""


def saved_objects() -> list[dict[str, Any]]:
    """All saved objects, those first to which others refer."""
    panels = read_panels()
    views = [_data_view(name, field) for name, field in DATA_VIEWS.items()]
    searches = [_search(name, *content) for name, content in SEARCHES.items()]
    charts = [_visualization(panel) for panel in panels]
    return [
        *views,
        *searches,
        *charts,
        *(
            _dashboard(name, title, [panel for panel in panels if panel.dashboard == name])
            for name, title in DASHBOARDS.items()
        ),
    ]


def ndjson() -> str:
    """The saved objects as a file for Kibana's import."""
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in saved_objects())


def import_objects(url: str, password: str) -> int:
    """Import the objects over those of an earlier version; returns how many.

    Raises:
        KibanaError: Kibana does not answer, or refuses any.
    """
    boundary = uuid.uuid4().hex
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="dashboards.ndjson"\r\n'
        f"Content-Type: application/ndjson\r\n\r\n{ndjson()}\r\n--{boundary}--\r\n"
    ).encode()
    request = urllib.request.Request(
        f"{url.rstrip('/')}/api/saved_objects/_import?overwrite=true",
        body,
        {"kbn-xsrf": "true", "content-type": f"multipart/form-data; boundary={boundary}"},
    )
    if password:
        request.add_header("authorization", "Basic " + base64.b64encode(f"elastic:{password}".encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            result = json.load(answer)
    except urllib.error.HTTPError as error:
        raise KibanaError(f"Kibana refuses: {error.code} {error.read()[:300].decode(errors='replace')}") from error
    except OSError as error:
        raise KibanaError(f"Kibana does not answer on {url}: {error}. Does it run? `make status` says so.") from error
    if not result.get("success"):
        raise KibanaError(f"Kibana took {result.get('successCount', 0)} objects and refused: {result.get('errors')}")
    return int(result["successCount"])


def _data_view(name: str, field: str) -> dict[str, Any]:
    return _object("index-pattern", name, {"title": name, "name": name, "timeFieldName": field}, [])


def _search(name: str, title: str, view: str, columns: list[str], order: str) -> dict[str, Any]:
    source = {"query": {"query": "", "language": "kuery"}, "filter": [], "indexRefName": REF_DATA_VIEW}
    attributes = {
        "title": title,
        "description": "",
        "columns": columns,
        "sort": [[order, "desc"]],
        "kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps(source)},
    }
    return _object("search", name, attributes, [{"name": REF_DATA_VIEW, "type": "index-pattern", "id": view}])


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
        "kibanaSavedObjectMeta": {
            "searchSourceJSON": json.dumps({"query": {"query": "", "language": "kuery"}, "filter": []})
        },
    }
    return _object("visualization", panel.name, attributes, [])


def specification(panel: Panel) -> dict[str, Any]:
    """A panel's Vega-Lite whose data Kibana fetches, under the dashboard's filters and range of time."""
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
    spec = panel.specification({"url": {"index": panel.index, "body": body}, "format": {"property": panel.rows}}, "v5")
    # Kibana gives a chart the size of its place on the dashboard.
    return {name: value for name, value in spec.items() if name not in ("width", "height", "description")}


def _dashboard(name: str, title: str, panels: list[Panel]) -> dict[str, Any]:
    placed, references = [], []
    x = y = row = 0
    for number, panel in enumerate(panels, 1):
        width, height = WIDTHS[panel.width], 12
        if x + width > COLUMNS:
            x, y, row = 0, y + row, 0
        placed.append(
            {
                "type": "visualization",
                "panelIndex": str(number),
                "gridData": {"x": x, "y": y, "w": width, "h": height, "i": str(number)},
                "embeddableConfig": {"enhancements": {}},
                "panelRefName": f"panel_{number}",
            }
        )
        references.append({"name": f"{number}:panel_{number}", "type": "visualization", "id": _id(panel.name)})
        x, row = x + width, max(row, height)
    attributes = {
        "title": title,
        "description": "",
        "panelsJSON": json.dumps(placed),
        "optionsJSON": json.dumps({"useMargins": True, "hidePanelTitles": False}),
        "timeRestore": True,
        # All that there is: the events of a lake may be years old.
        "timeFrom": "2000-01-01T00:00:00.000Z",
        "timeTo": "now",
        "version": 1,
        "kibanaSavedObjectMeta": {
            "searchSourceJSON": json.dumps({"query": {"query": "", "language": "kuery"}, "filter": []})
        },
    }
    return {**_object("dashboard", name, attributes, []), "references": references}


def _object(kind: str, name: str, attributes: Mapping[str, Any], references: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "id": _id(name),
        "type": kind,
        "attributes": attributes,
        "references": [{**reference, "id": _id(reference["id"])} for reference in references],
    }


def _id(name: str) -> str:
    return f"customer-profiles-{name.replace('_', '-')}"


if __name__ == "__main__":
    # What a set-up job calls where nothing else of this package is installed.
    import os

    try:
        print(f"{import_objects(sys.argv[1], os.environ.get('ELASTIC_PASSWORD', ''))} saved objects are in Kibana")
    except KibanaError as error:
        sys.exit(f"error: {error}")
