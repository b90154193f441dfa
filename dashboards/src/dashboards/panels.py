"""The panels, each once: a Vega-Lite specification and the Elasticsearch query of its data.

The page, the report and Kibana are made from the files in `panels/`, in the order of their names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

VEGA_LITE = "https://vega.github.io/schema/vega-lite/{version}.json"
"""The name of the language, which Kibana and others know by this address; nothing is fetched from there."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart."""

    name: str
    title: str
    about: str
    dashboard: str
    """`customers`, which follows the filters, or `pipeline`, which is about the pipeline itself."""
    width: str
    """`full`, `half` or `third` of a wide page."""
    index: str
    time_field: str | None
    """The field that a range of time is about; None for what does not follow filters."""
    body: Mapping[str, Any]
    """The search, without filters."""
    rows: str
    """Where in the answer the data of the chart are, as a path with dots."""
    spec: Mapping[str, Any]
    """Vega-Lite without data, title and size."""

    def pick(self, answer: Mapping[str, Any]) -> list[Any]:
        """The rows of the chart in an answer of Elasticsearch."""
        found: Any = answer
        for part in self.rows.split("."):
            found = found[part]
        return found if isinstance(found, list) else [found]

    def specification(self, data: Mapping[str, Any], version: str = "v6") -> dict[str, Any]:
        """Vega-Lite, ready to be drawn; of 5 and 6, the panels use what both have."""
        return {
            "$schema": VEGA_LITE.format(version=version),
            "description": f"{self.title}. {self.about}",
            "width": "container",
            "autosize": {"type": "fit", "contains": "padding"},
            "data": data,
            **self.spec,
        }


def read_panels() -> list[Panel]:
    """All panels, in the order in which they are shown."""
    found = sorted((path for path in files(__package__).joinpath("panels").iterdir()), key=lambda path: path.name)
    return [
        Panel(path.name.removesuffix(".json").partition("-")[2], **json.loads(path.read_text("utf-8")))
        for path in found
        if path.name.endswith(".json")
    ]
