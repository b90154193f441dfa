"""What an empty panel says."""

from __future__ import annotations

from customer_profiles.dashboards.panels import Panel

BY_INDEX = {
    "customer_profiles": "No customer here. make ingest and make process fill this panel; "
    "if a filter is set, choose another.",
    "event_metrics": "No events here. make ingest and make process fill this panel; "
    "if a filter is set, choose another.",
    "pipeline_runs": "No runs here yet. make process fills this panel.",
    "rejected_rows": "No row was rejected. This panel fills when ingestion rejects rows.",
    "experiment_results": "No experiment has results yet. make experiment fills this panel.",
    "quality_metrics": "No day was checked in this time. make quality fills this panel.",
    "alerts": "No alert is open. make alerts looks for new ones.",
}


def empty_hint(panel: Panel) -> str:
    """Return what fills a panel, for people who see it empty."""
    if panel.where.get("kind") == "stream":
        return "No stream ran in this time. make stream fills this panel."
    return BY_INDEX.get(panel.index, "No data yet.")
