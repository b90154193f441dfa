"""The colours of segments and event types, the same in every chart.

Each colour has a contrast of at least 3 to the light and to the dark background of the page. The
colours differ in lightness, too, so people who see few hues can tell them apart.
"""

from __future__ import annotations

from typing import Any

from customer_profiles.dashboards.panels import Panel

BLUE, ORANGE, GREEN, PURPLE, TEAL, GREY = (
    "#3b82c4",
    "#d9742b",
    "#2f9e6e",
    "#a066c9",
    "#1f9aa8",
    "#7d8896",
)
PLAIN = BLUE
"""The colour of a chart whose groups have no colours of their own."""
SEGMENTS = {
    "High Value": BLUE,
    "Medium Value": TEAL,
    "Converting Customer": GREEN,
    "Interested Shopper": ORANGE,
    "Active Browser": PURPLE,
    "Casual Visitor": GREY,
}
"""The segments of the rules that come with the project. A segment with another name takes the next
colour."""
EVENT_TYPES = {"view": BLUE, "cart": ORANGE, "purchase": GREEN, "remove_from_cart": PURPLE}
RETURNING = {"came back": GREEN, "did not come back": GREY}


def colours(panel: Panel) -> dict[str, str]:
    """Return the colours of a panel's groups by name; empty if they have none of their own."""
    dimension = panel.split or panel.by
    if dimension is None:
        return {}
    labels = {group.label for group in dimension.groups}
    if dimension.field == "customer_segment":
        return SEGMENTS
    if dimension.field == "event_type" or (labels and labels <= set(EVENT_TYPES)):
        return EVENT_TYPES
    return RETURNING if labels and labels <= set(RETURNING) else {}


def colour_scale(panel: Panel) -> dict[str, Any] | None:
    """Return the colour scale of a panel's groups for Vega-Lite, or None."""
    known = colours(panel)
    return {"domain": list(known), "range": list(known.values())} if known else None
