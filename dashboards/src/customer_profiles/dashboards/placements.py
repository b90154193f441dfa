"""Where the panels of a dashboard are in Kibana, and what they refer to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from customer_profiles.dashboards.lens import lens_attributes, lens_reference
from customer_profiles.dashboards.object_ids import (
    data_view_id,
    explanation_name,
    object_id,
    own_time_range,
    search_name,
)
from customer_profiles.dashboards.panels import Panel

GRID_COLUMNS = 48
"""Columns of a dashboard's grid."""
GRID_WIDTHS = {"full": 48, "half": 24, "third": 16, "figure": 9}
"""Columns of a panel, by `Panel.width`. The last panel of a row takes what is left of it."""
GRID_HEIGHTS = {"figure": 6}
"""Rows of a panel, by `Panel.width`."""
GRID_HEIGHT = 12
"""Rows of other panels."""
EXPLANATION_HEIGHT = 14
Placed = tuple[dict[str, Any], list[dict[str, str]]]
"""A panel of a dashboard and its references, whose names are those inside the panel."""


def place(
    dashboard: str, panels: Sequence[Panel]
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Place panels from left to right, and their explanation below them.

    Args:
        dashboard: the name of the dashboard.
        panels: the dashboard's panels, in order.

    Returns:
        The dashboard's `panelsJSON` as a list, and its references.
    """
    placements: list[dict[str, Any]] = []
    references: list[dict[str, str]] = []
    grids = _grid(panels)
    bottom = max((grid["y"] + grid["h"] for grid in grids), default=0)
    grids.append({"x": 0, "y": bottom, "w": GRID_COLUMNS, "h": EXPLANATION_HEIGHT})
    placed = [*map(_panel, panels), _by_reference("visualization", explanation_name(dashboard))]
    for name, grid, (content, inner) in zip(
        [*(panel.name for panel in panels), "explanation"], grids, placed, strict=True
    ):
        # The index names the panel in the dashboard's references, so it stays the same when other
        # panels come.
        placements.append({**content, "panelIndex": name, "gridData": {**grid, "i": name}})
        references += [{**reference, "name": f"{name}:{reference['name']}"} for reference in inner]
    return placements, references


def _grid(panels: Sequence[Panel]) -> list[dict[str, int]]:
    grids: list[dict[str, int]] = []
    x = y = height = 0
    for panel in panels:
        width = GRID_WIDTHS[panel.width]
        if x + width > GRID_COLUMNS or (grids and x and _height(panel) != height):
            grids[-1]["w"] = GRID_COLUMNS - grids[-1]["x"]
            x, y = 0, y + height
        height = _height(panel)
        grids.append({"x": x, "y": y, "w": width, "h": height})
        x += width
    if grids:
        grids[-1]["w"] = GRID_COLUMNS - grids[-1]["x"]
    return grids


def _height(panel: Panel) -> int:
    return GRID_HEIGHTS.get(panel.width, GRID_HEIGHT)


def _panel(panel: Panel) -> Placed:
    own_range = own_time_range(panel)
    config: dict[str, Any] = {"timeRange": own_range} if own_range else {}
    if panel.chart == "documents":
        content, references = _by_reference("search", search_name(panel))
        content["embeddableConfig"] |= config
        return content, references
    # Kibana shows the description beside the title: it says which time range the numbers are of.
    config |= {
        "attributes": lens_attributes(panel, data_view_id(panel)),
        "description": panel.about,
        "enhancements": {},
    }
    content = {"type": "lens", "title": panel.title, "embeddableConfig": config}
    return content, [lens_reference(panel, data_view_id(panel))]


def _by_reference(kind: str, name: str) -> Placed:
    reference_name = f"panel_{name}"
    content = {
        "type": kind,
        "panelRefName": reference_name,
        "embeddableConfig": {"enhancements": {}},
    }
    return content, [{"name": reference_name, "type": kind, "id": object_id(name)}]
