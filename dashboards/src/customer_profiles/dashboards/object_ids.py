"""The ids of Kibana's saved objects. They never change, so an import replaces older objects."""

from __future__ import annotations

from customer_profiles.dashboards.panels import Panel

SEARCH_IDS = {"best": "best-customers", "runs": "latest-runs"}
"""The ids of searches that were named before their panels were."""


def object_id(name: str) -> str:
    """Return the stable id of an object."""
    return f"customer-profiles-{name.replace('_', '-')}"


def data_view_id(panel: Panel) -> str:
    """Return the id of a panel's data view."""
    return object_id(panel.index + ("-all" if panel.range == "all" else ""))


def search_name(panel: Panel) -> str:
    """Return the name of a panel's saved search."""
    return SEARCH_IDS.get(panel.name, panel.name)


def own_time_range(panel: Panel) -> dict[str, str] | None:
    """Return the time range of a panel that does not follow the dashboard's, if it has one."""
    if panel.range in ("dashboard", "all"):
        return None
    return {"from": f"now-{panel.range}", "to": "now"}


def explanation_name(dashboard: str) -> str:
    """Return the name of the text that explains a dashboard."""
    return f"about-{dashboard}"
