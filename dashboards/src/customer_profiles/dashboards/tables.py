"""Documents as tables of text in Vega-Lite, for the page and the report."""

from __future__ import annotations

from typing import Any

from customer_profiles.dashboards.panels import Panel

WIDE = {"text": 5, "command": 6, "label": 4, "name": 3, "since": 2}
"""The width of columns that need more than a number does, in widths of a number."""
GAP = 8
"""Pixels between columns."""
HEADINGS = {
    "p_value": "p-value",
    "relative": "effect",
    "relative_low": "from",
    "relative_high": "to",
    "expected_low": "from",
    "expected_high": "to",
}
"""Headings that are shorter than the names of fields. Limits stand beside their value."""
TIMES = ("time", "since", "until")
SHARES = ("relative", "relative_low", "relative_high")
"""Fields that are ratios, shown as a percentage with its sign."""


def table(panel: Panel) -> dict[str, Any]:
    """Return the transforms, the axes and the layers that draw one line of text per document.

    A text that is longer than its column is cut; the tooltip has all of it.

    Args:
        panel: one that shows documents.
    """
    widths = [WIDE.get(column, 1) for column in panel.columns]
    starts = [sum(widths[:number]) / sum(widths) for number in range(len(widths))]
    calculated = [{"calculate": _said(column), "as": f"said_{column}"} for column in panel.columns]
    tooltip = [
        {"field": f"said_{column}", "type": "nominal", "title": _heading(column)}
        for column in panel.columns
    ]
    names = " : ".join(
        f"datum.value < {start + 0.5 / sum(widths):.4f} ? '{_heading(column)}'"
        for column, start in zip(panel.columns, starts, strict=True)
    )
    layers = [
        {
            "mark": {
                "type": "text",
                "align": "left",
                "fontSize": 12,
                "limit": {"expr": f"max(0, width * {width / sum(widths):.4f} - {GAP})"},
            },
            "encoding": {
                "x": {"datum": start, "type": "quantitative", "axis": _axis(starts, names)},
                "text": {"field": f"said_{column}"},
                "tooltip": tooltip,
            },
        }
        for column, start, width in zip(panel.columns, starts, widths, strict=True)
    ]
    return {
        "transform": [{"window": [{"op": "row_number", "as": "row"}]}, *calculated],
        "encoding": {
            "x": {"scale": {"domain": [0, 1], "nice": False}, "type": "quantitative"},
            "y": {"field": "row", "type": "ordinal", "axis": None},
        },
        "layer": layers,
    }


def _axis(starts: list[float], names: str) -> dict[str, Any]:
    return {
        "orient": "top",
        "title": None,
        "values": starts,
        "labelExpr": f"{names} : ''",
        "labelAlign": "left",
        "labelBound": False,
        "labelOverlap": False,
        "labelFlush": False,
        "domain": False,
        "ticks": False,
        "grid": False,
    }


def _heading(column: str) -> str:
    return HEADINGS.get(column, column.replace("_", " "))


def _said(column: str) -> str:
    """Return the expression for the text of a field; a dash if the document lacks it."""
    value = f"datum['{column}']"
    if column in TIMES:
        text = f"utcFormat(toDate({value}), '%Y-%m-%d %H:%M')"
    else:
        shown = "+.1%" if column in SHARES else ".3~g"
        integer = f"isNumber({value}) && {value} == floor({value})"
        text = f"isNumber({value}) ? format({value}, '{shown}') : {value} + ''"
        if column not in SHARES:
            text = f"({integer}) ? format({value}, ',') : ({text})"
        text = f"isBoolean({value}) ? ({value} ? 'yes' : 'no') : ({text})"
    return f"isValid({value}) && {value} !== '' ? ({text}) : '\u2013'"
