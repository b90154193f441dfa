"""The panels, each described once: what is measured, by what, filtered how.

A file of `panels/` describes one panel. `searches` makes its Elasticsearch search, `drawing` its
Vega-Lite chart for the page and the report, and `lens` its panel in Kibana, so the three cannot
differ. A panel of a new capability is one more file. Panels are shown in the order of file names.

This module uses only the standard library, because `kibana.py` imports it in a container without
this package's dependencies.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

Conditions = Mapping[str, Any]
"""Fields with what they must be: a text, a list of texts, or `{gt = 0}`, `{gte = 2}`, `{lt = 2}`.
All conditions must hold."""

CHARTS = ("metric", "bar", "area", "column", "line", "documents")
"""Kinds of charts: one number; a horizontal bar per key; an area, a stacked column or a line over
time; the documents themselves."""
WIDTHS = ("figure", "third", "half", "full")
OPERATIONS = ("count", "sum", "max", "min", "average")
DASHBOARDS = {
    "customers": "Customer profiles",
    "pipeline": "Customer profiles: the pipeline",
    "experiments": "Customer profiles: experiments",
    "quality": "Customer profiles: data quality",
}
"""Titles of the dashboards, by `Panel.dashboard`."""
TIME_FIELDS = {
    "customer_profiles": "event_days",
    "event_metrics": "time",
    "pipeline_runs": "time",
    "rejected_rows": "time",
    "experiment_results": "time",
    "quality_metrics": "time",
    "alerts": "since",
}
"""Indices, each with the field that a time range filters.

A profile has each day with an event, so it is found by every time range with one of them."""
FILTERED = ("customer_profiles", "event_metrics")
"""The indices whose documents have `customer_segment`, `category` and `brand`."""


class InvalidPanelError(ValueError):
    """The description of a panel is wrong."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A number of each group of documents."""

    label: str
    operation: str = "count"
    """One of `OPERATIONS`."""
    field: str | None = None
    """What is summed and so on; None for `count`."""
    where: Conditions = dataclasses.field(default_factory=dict)
    """The documents that count, of those that the panel shows."""
    per: Measure | None = None
    """The divisor, if the number is a ratio. It is null where the divisor is 0."""
    decimals: int = 0
    percent: bool = False
    """Show a ratio of 0.5 as 50 %."""

    @property
    def adds_up(self) -> bool:
        """Whether the numbers of groups add up to the number of all documents."""
        return self.operation in ("count", "sum") and self.per is None


@dataclass(frozen=True, slots=True)
class Group:
    """A named group of documents."""

    label: str
    where: Conditions


@dataclass(frozen=True, slots=True)
class Dimension:
    """What splits documents into groups: the values of a field, steps of time, or conditions."""

    label: str
    field: str | None = None
    """None for `groups`."""
    step: str | None = None
    """`day`, or `minute`: a field of times is split into these steps, in UTC."""
    size: int = 10
    """How many values of a field are shown, those with the highest measure."""
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart."""

    name: str
    """Stable: the address of its data, and part of the id in Kibana."""
    title: str
    about: str
    """The subtitle. It says which time range the numbers are of."""
    explanation: str
    """What the number means and how it is computed, in one sentence."""
    dashboard: str
    """One of `DASHBOARDS`. `customers` follows the filters; the others show the pipeline itself."""
    width: str
    """One of `WIDTHS`: a figure of a row of key figures, or a part of a wide page."""
    chart: str
    """One of `CHARTS`."""
    index: str
    """The Elasticsearch index to search."""
    where: Conditions = dataclasses.field(default_factory=dict)
    range: str = "dashboard"
    """`dashboard`: the time range that people choose. `all`: everything. `6h` or `365d`: the last
    hours or days before now, for what happens by the clock of the pipeline."""
    measure: Measure | None = None
    """None for `documents`."""
    by: Dimension | None = None
    split: Dimension | None = None
    """The second dimension of a chart over time: its series."""
    columns: tuple[str, ...] = ()
    """The fields of `documents`."""
    sort: str | None = None
    """The field that orders `documents`, the highest value first."""
    size: int = 10
    """How many `documents` the page shows."""

    def __post_init__(self) -> None:
        """Refuse a description that no chart can show.

        Raises:
            InvalidPanelError: a word is unknown or something is missing.
        """
        for value, known in (
            (self.chart, CHARTS),
            (self.width, WIDTHS),
            (self.dashboard, tuple(DASHBOARDS)),
            (self.index, tuple(TIME_FIELDS)),
        ):
            if value not in known:
                raise InvalidPanelError(f"{self.name}: {value} is none of {', '.join(known)}")
        if self.chart == "documents" and not (self.columns and self.sort):
            raise InvalidPanelError(f"{self.name}: documents need columns and sort")
        if self.chart != "documents" and self.measure is None:
            raise InvalidPanelError(f"{self.name}: a {self.chart} needs a measure")
        if self.chart not in ("metric", "documents") and self.by is None:
            raise InvalidPanelError(f"{self.name}: a {self.chart} needs a dimension (by)")

    @property
    def number(self) -> Measure:
        """What the panel measures.

        Raises:
            InvalidPanelError: the panel shows documents.
        """
        if self.measure is None:
            raise InvalidPanelError(f"{self.name} measures nothing")
        return self.measure

    @property
    def axis(self) -> Dimension:
        """The first dimension.

        Raises:
            InvalidPanelError: the panel has none.
        """
        if self.by is None:
            raise InvalidPanelError(f"{self.name} has no dimension")
        return self.by

    @property
    def time_field(self) -> str:
        """The field that a time range filters."""
        return TIME_FIELDS[self.index]

    @property
    def follows_filters(self) -> bool:
        """Whether the filters for segment, category and brand reach this panel."""
        return self.index in FILTERED

    @property
    def follows_time(self) -> bool:
        """Whether the time range that people choose reaches this panel."""
        return self.range == "dashboard"


def read_panels() -> list[Panel]:
    """Read all panels, in the order in which they are shown.

    Raises:
        InvalidPanelError: a file describes no panel.
    """
    paths = sorted(files(__package__).joinpath("panels").iterdir(), key=lambda path: path.name)
    return [
        parse_panel(path.name.removesuffix(".toml").partition("-")[2], path.read_text("utf-8"))
        for path in paths
        if path.name.endswith(".toml")
    ]


def parse_panel(name: str, text: str) -> Panel:
    """Read the description of one panel.

    Args:
        name: of the panel.
        text: TOML with the fields of `Panel` but `name`.

    Raises:
        InvalidPanelError: the text describes no panel.
    """
    try:
        values = tomllib.loads(text)
        if "measure" in values:
            values["measure"] = _measure(values["measure"])
        for dimension in ("by", "split"):
            if dimension in values:
                values[dimension] = _dimension(values[dimension])
        values["columns"] = tuple(values.get("columns", ()))
        return Panel(name=name, **values)
    except (TypeError, tomllib.TOMLDecodeError) as error:
        raise InvalidPanelError(f"{name}: {error}") from error


def _measure(values: dict[str, Any]) -> Measure:
    per = values.pop("per", None)
    # A divisor is shown nowhere, so it needs no label.
    measure = Measure(**values, per=per and _measure({"label": "", **per}))
    if measure.operation not in OPERATIONS or (measure.operation == "count") != (
        measure.field is None
    ):
        raise InvalidPanelError(
            f"{measure.label}: name a field for {', '.join(OPERATIONS[1:])}, and none for count"
        )
    return measure


def _dimension(values: dict[str, Any]) -> Dimension:
    groups = tuple(Group(**group) for group in values.pop("groups", ()))
    return Dimension(**values, groups=groups)
