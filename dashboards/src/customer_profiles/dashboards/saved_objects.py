"""The panels as Kibana's saved objects: data views, searches, explanations and dashboards.

The format is that of Kibana's import API: NDJSON, one object per line. Ids are stable, so an import
replaces the objects of an earlier one. Each object says which version of Kibana wrote its format,
so Kibana migrates it from there.

This module uses only the standard library, because `kibana.py` imports it in a container without
this package's dependencies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from customer_profiles.dashboards.lens import conditions_to_kql
from customer_profiles.dashboards.object_ids import (
    data_view_id,
    explanation_name,
    object_id,
    own_time_range,
    search_name,
)
from customer_profiles.dashboards.panels import DASHBOARDS, TIME_FIELDS, Panel, read_panels
from customer_profiles.dashboards.placements import place

VERSION = "0.2.0"
"""The version of this project, which the dashboards show."""
CORE_VERSION = "8.8.0"
TYPE_VERSIONS = {
    "index-pattern": "8.0.0",
    "search": "8.0.0",
    "visualization": "8.5.0",
    "dashboard": "8.9.0",
}
"""Versions of Kibana's formats: its migrations start from there."""
DATA_VIEW_REFERENCE = "kibanaSavedObjectMeta.searchSourceJSON.index"
"""The name under which a search refers to its data view."""
CONTROLS = {"customer_segment": "Segment", "category": "Category", "brand": "Brand"}
"""Fields that people can filter by, with their titles. All indices of the dashboard have them."""
CONTROL_INDEX = "event_metrics"
"""The index whose values the controls offer. Profiles write the same values."""
REFRESH = {"pause": True, "value": 60_000}
"""Refresh every minute, once somebody starts it."""
CUSTOMER_PAGE = "http://127.0.0.1:{port}/customer/{{{{value}}}}"
"""The address of a customer's profile and history; Kibana puts the customer's id in."""


@dataclass(frozen=True, slots=True)
class TimeRange:
    """What the dashboards show when they are opened, in Kibana's notation."""

    since: str = "now-90d/d"
    until: str = "now"


def saved_objects(
    time_range: TimeRange | None = None, page_port: int = 8050
) -> list[dict[str, Any]]:
    """Return all saved objects. An object comes after the objects that it refers to.

    Args:
        time_range: of the data; the last 90 days if None.
        page_port: the port of the page that shows one customer.
    """
    panels = read_panels()
    shown = time_range or TimeRange()
    documents = [panel for panel in panels if panel.chart == "documents"]
    return [
        *(_data_view(index, field, page_port) for index, field in TIME_FIELDS.items()),
        # Panels that show everything have no time field, whatever the dashboard's time range is.
        *(_data_view(index, None, page_port) for index in _timeless(panels)),
        *(_search(panel, shown) for panel in documents),
        *(_explanation(name, panels) for name in DASHBOARDS),
        *(
            _dashboard(name, title, [panel for panel in panels if panel.dashboard == name], shown)
            for name, title in DASHBOARDS.items()
        ),
    ]


def to_ndjson(time_range: TimeRange | None = None, page_port: int = 8050) -> str:
    """Return the saved objects as a file for Kibana's import; arguments as of `saved_objects`."""
    objects = saved_objects(time_range, page_port)
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in objects)


def _timeless(panels: Sequence[Panel]) -> list[str]:
    return sorted({panel.index for panel in panels if panel.range == "all"})


def _data_view(index: str, time_field: str | None, page_port: int) -> dict[str, Any]:
    attributes: dict[str, Any] = {"title": index, "name": index}
    if time_field:
        attributes["timeFieldName"] = time_field
    else:
        attributes["name"] = f"{index}, whatever the time"
    if index == "customer_profiles":
        # A customer's id is a link to the customer on the page. Kibana's drilldowns to an address
        # need a paid licence; formats of fields do not.
        parameters = {
            "urlTemplate": CUSTOMER_PAGE.format(port=page_port),
            "labelTemplate": "{{value}}",
            "openLinkInCurrentTab": False,
        }
        attributes["fieldFormatMap"] = json.dumps({"user_id": {"id": "url", "params": parameters}})
    return _object("index-pattern", index if time_field else f"{index}-all", attributes, [])


def _search(panel: Panel, time_range: TimeRange) -> dict[str, Any]:
    query = {"query": conditions_to_kql(panel.where), "language": "kuery"}
    source = {"query": query, "filter": [], "indexRefName": DATA_VIEW_REFERENCE}
    own_range = own_time_range(panel)
    shown = own_range or {"from": time_range.since, "to": time_range.until}
    attributes = {
        "title": panel.title,
        "description": f"{panel.about} {panel.explanation}",
        "columns": list(panel.columns),
        "sort": [[panel.sort, "desc"]],
        "grid": {},
        "hideChart": False,
        "isTextBasedQuery": False,
        "timeRestore": True,
        "timeRange": shown,
        "refreshInterval": REFRESH,
        "kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps(source)},
    }
    reference = {"name": DATA_VIEW_REFERENCE, "type": "index-pattern", "id": data_view_id(panel)}
    return _object("search", search_name(panel), attributes, [reference])


def _explanation(dashboard: str, panels: Sequence[Panel]) -> dict[str, Any]:
    """Return a text that explains each number of a dashboard."""
    lines = [
        f"- **{panel.title}** ({panel.about.rstrip('.')}): {panel.explanation}"
        for panel in panels
        if panel.dashboard == dashboard
    ]
    text = "\n".join([f"Customer profiles {VERSION}. Times are in UTC.", "", *lines])
    state = {
        "title": "What the numbers mean",
        "type": "markdown",
        "aggs": [],
        "params": {"markdown": text, "fontSize": 12, "openLinksInNewTab": False},
    }
    source = {"query": {"query": "", "language": "kuery"}, "filter": []}
    attributes = {
        "title": f"What the numbers mean: {DASHBOARDS[dashboard]}",
        "description": "",
        "visState": json.dumps(state, ensure_ascii=False),
        "uiStateJSON": "{}",
        "version": 1,
        "kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps(source)},
    }
    return _object("visualization", explanation_name(dashboard), attributes, [])


def _dashboard(
    name: str, title: str, panels: Sequence[Panel], time_range: TimeRange
) -> dict[str, Any]:
    placements, references = place(name, panels)
    attributes: dict[str, Any] = {
        "title": title,
        "description": f"Customer profiles {VERSION}",
        "panelsJSON": json.dumps(placements, ensure_ascii=False),
        "optionsJSON": json.dumps(
            {"useMargins": True, "hidePanelTitles": False, "syncColors": True}
        ),
        "timeRestore": True,
        "timeFrom": time_range.since,
        "timeTo": time_range.until,
        "refreshInterval": REFRESH,
        "version": 1,
        "kibanaSavedObjectMeta": {
            "searchSourceJSON": json.dumps(
                {"query": {"query": "", "language": "kuery"}, "filter": []}
            )
        },
    }
    # A control has to reach every panel, or it would empty those that it does not fit.
    if all(panel.follows_filters for panel in panels):
        attributes["controlGroupInput"] = _controls()
        references += [
            {
                "name": f"controlGroup_{field}:optionsListDataView",
                "type": "index-pattern",
                "id": object_id(CONTROL_INDEX),
            }
            for field in CONTROLS
        ]
    return _object("dashboard", name, attributes, references)


def _controls() -> dict[str, Any]:
    panels = {
        field: {
            "order": order,
            "width": "medium",
            "grow": True,
            "type": "optionsListControl",
            "explicitInput": {
                "id": field,
                "fieldName": field,
                "title": title,
                "selectedOptions": [],
                "enhancements": {},
            },
        }
        for order, (field, title) in enumerate(CONTROLS.items())
    }
    ignored = dict.fromkeys(
        ("ignoreFilters", "ignoreQuery", "ignoreTimerange", "ignoreValidations"), False
    )
    return {
        "controlStyle": "oneLine",
        "chainingSystem": "HIERARCHICAL",
        "panelsJSON": json.dumps(panels),
        "ignoreParentSettingsJSON": json.dumps(ignored),
    }


def _object(
    kind: str, name: str, attributes: Mapping[str, Any], references: list[dict[str, str]]
) -> dict[str, Any]:
    return {
        "id": object_id(name),
        "type": kind,
        "attributes": attributes,
        "references": references,
        "coreMigrationVersion": CORE_VERSION,
        "typeMigrationVersion": TYPE_VERSIONS[kind],
    }
