"""The panels, each defined once: a Vega-Lite specification and the Elasticsearch query of its data.

The page, the report and Kibana show the files in `panels/`, in the order of their names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

VEGA_LITE = "https://vega.github.io/schema/vega-lite/{version}.json"
"""The name by which Kibana and others know the language. Nothing is downloaded from there."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart."""

    name: str
    title: str
    about: str
    """One line below the title."""
    dashboard: str
    """`customers`, which follows the filters, or `pipeline`, which shows the pipeline itself."""
    width: str
    """`full`, `half` or `third` of a wide page."""
    index: str
    """The Elasticsearch index to search."""
    time_field: str | None
    """The field that a time range filters; None for a panel that does not follow filters."""
    body: Mapping[str, Any]
    """The search, without filters."""
    rows: str
    """The path of the chart's data in the response, with dots between keys."""
    spec: Mapping[str, Any]
    """Vega-Lite without data, title and size."""

    def pick(self, response: Mapping[str, Any]) -> list[Any]:
        """Return the chart's rows from a response of Elasticsearch."""
        value: Any = response
        for key in self.rows.split("."):
            value = value[key]
        return value if isinstance(value, list) else [value]

    def specification(self, data: Mapping[str, Any], version: str = "v6") -> dict[str, Any]:
        """Return the complete Vega-Lite specification.

        Args:
            data: the `data` property of Vega-Lite.
            version: of Vega-Lite, v5 or v6. Panels use only what both have.
        """
        return {
            "$schema": VEGA_LITE.format(version=version),
            "description": f"{self.title}. {self.about}",
            "width": "container",
            "autosize": {"type": "fit", "contains": "padding"},
            "data": data,
            **self.spec,
        }


def read_panels() -> list[Panel]:
    """Read all panels, in the order in which they are shown."""
    paths = sorted(files(__package__).joinpath("panels").iterdir(), key=lambda path: path.name)
    return [
        Panel(
            name=path.name.removesuffix(".json").partition("-")[2],
            **json.loads(path.read_text("utf-8")),
        )
        for path in paths
        if path.name.endswith(".json")
    ]
