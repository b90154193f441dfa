"""The Vega-Lite charts of panels, for the page and the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from customer_profiles.dashboards.palette import colour_scale
from customer_profiles.dashboards.panels import Measure, Panel
from customer_profiles.dashboards.tables import table

VEGA_LITE = "https://vega.github.io/schema/vega-lite/v6.json"
"""The name of the language. Nothing is downloaded from there."""
ROW_HEIGHT, FRAME_HEIGHT = 26, 48
"""Pixels of a row, such as a bar, and of the axis and its title together."""
LABEL_WIDTH = 120
"""Pixels for the label of a bar."""
LEGEND_WIDTH = 170
"""Pixels for a name in a legend, where names are not known beforehand."""
MANY_SERIES = 12
ROWS = "rows"
"""The name of a chart's data, by which the page replaces them."""
DAYS = f"(span(extent(pluck(data('{ROWS}'), 'time'))) / 864e5 + 1)"
"""Vega's expression for the days from the first to the last row of a chart."""
COLUMN_WIDTH = f"min(48, width / {DAYS})"
"""The pixels of a day's column, so that one day does not fill a panel."""
TICKS = f"max(1, min(width / 90, {DAYS}))"
"""How many dates an axis shows: few days have none in between."""


def specification(panel: Panel, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the complete Vega-Lite specification of a panel.

    Args:
        panel: the panel.
        data: the `data` property of Vega-Lite, with rows as `searches.panel_rows` returns them.
    """
    draw = {"metric": _metric, "bar": _bar, "documents": _documents}.get(panel.chart, _over_time)
    return {
        "$schema": VEGA_LITE,
        "description": f"{panel.title}. {panel.about}",
        "width": "container",
        "height": chart_height(panel, len(data.get("values", ()))),
        "autosize": {"type": "fit", "contains": "padding"},
        "data": {"name": ROWS, **data},
        **draw(panel),
    }


def chart_height(panel: Panel, rows: int) -> int:
    """Return the height of a chart in pixels.

    A bar has the same height in every chart, so that one bar alone does not fill a panel.
    """
    if row_height(panel):
        return FRAME_HEIGHT + ROW_HEIGHT * max(1, rows)
    if panel.chart == "metric":
        return 60
    # The legend of many series has several lines.
    return 320 if panel.split and panel.split.size > MANY_SERIES else 220


def row_height(panel: Panel) -> int:
    """Return the pixels by which each row makes a chart higher: 0 if its height is fixed."""
    return ROW_HEIGHT if panel.chart in ("bar", "documents") else 0


def number_format(measure: Measure) -> str:
    """Return the format of d3 for a measure's numbers."""
    return f",.{measure.decimals}{'%' if measure.percent else 'f'}"


def _metric(panel: Panel) -> dict[str, Any]:
    text = f"isValid(datum.value) ? format(datum.value, '{number_format(panel.number)}') : '\u2013'"
    return {
        "transform": [{"calculate": text, "as": "text"}],
        "mark": {"type": "text", "fontSize": 20, "fontWeight": "bold", "align": "left", "x": 0},
        "encoding": {"text": {"field": "text"}},
    }


def _bar(panel: Panel) -> dict[str, Any]:
    measure = panel.number
    chart = _bars("key", "value", measure.label.lower(), ",.0f", colour_scale(panel))
    window: dict[str, Any]
    if panel.axis.groups:
        # The first group is the whole: views in the funnel.
        window = {"op": "first_value", "field": "value", "as": "whole"}
    elif panel.axis.field == "customer_segment":
        window = {"op": "sum", "field": "value", "as": "whole"}
    else:
        return chart
    share = "datum.whole > 0 ? format(datum.value / datum.whole, '.1%') : '\u2013'"
    chart["transform"] = [
        {"window": [window], "frame": [None, None]},
        {"calculate": f"format(datum.value, ',.0f') + '  \u00b7  ' + ({share})", "as": "said"},
    ]
    chart["layer"][1]["encoding"]["text"] = {"field": "said"}
    return chart


def _documents(panel: Panel) -> dict[str, Any]:
    if panel.name == "best":
        return _bars("user_id", "total_revenue", "revenue", ",.2f")
    if panel.index != "pipeline_runs":
        return table(panel)
    said = (
        "utcFormat(toDate(datum.time), '%Y-%m-%d %H:%M:%S') + '   ' + datum.kind + ':  '"
        " + format(datum.events, ',') + ' events, ' + format(datum.customers, ',')"
        " + ' customers, ' + format(datum.seconds, '.1f') + ' s'"
    )
    return {
        "transform": [{"calculate": said, "as": "said"}],
        "mark": {"type": "text", "align": "left", "fontSize": 12},
        "encoding": {
            "x": {"value": 0},
            "y": {"field": "time", "type": "ordinal", "sort": "descending", "axis": None},
            "text": {"field": "said"},
        },
    }


def _bars(
    key: str, value: str, title: str, text_format: str, colours: dict[str, Any] | None = None
) -> dict[str, Any]:
    x = {
        "field": value,
        "type": "quantitative",
        # The labels stand to the right of the longest bar, too.
        "scale": {"rangeMax": {"expr": f"max(40, width - {LABEL_WIDTH})"}},
        "axis": {"title": title, "tickCount": 4, "format": "~s"},
    }
    label = {"type": "text", "align": "left", "dx": 5, "fontSize": 12}
    encoding: dict[str, Any] = {
        "y": {"field": key, "type": "nominal", "sort": None, "axis": {"title": None}},
        "x": x,
    }
    bar: dict[str, Any] = {"mark": {"type": "bar", "tooltip": True, "size": 16}}
    if colours:
        color = {"field": key, "type": "nominal", "scale": colours, "legend": None}
        bar["encoding"] = {"color": color}
    return {
        "encoding": encoding,
        "layer": [
            bar,
            {"mark": label, "encoding": {"text": {"field": value, "format": text_format}}},
        ],
    }


def _over_time(panel: Panel) -> dict[str, Any]:
    days = panel.axis.step == "day"
    label = panel.number.label.lower()
    # A ratio or an average of a day is no number of things per day.
    title = f"{label} a {panel.axis.step}" if panel.number.adds_up else label
    axis = {"title": title, "format": ".0%" if panel.number.percent else "~s", "tickCount": 5}
    width = {"width": {"expr": COLUMN_WIDTH}} if days else {}
    marks: dict[str, dict[str, Any]] = {
        "area": {"type": "area", "line": not panel.split, "tooltip": True},
        "column": {"type": "bar", "tooltip": True, **width},
        # A day without neighbours is a point, no line.
        "line": {"type": "line", "tooltip": True, "point": {"size": 14}},
    }
    x: dict[str, Any] = {"field": "time", "type": "temporal", "axis": {"title": None}}
    if days:
        x["axis"] |= {"tickCount": {"expr": TICKS}, "labelOverlap": True, "labelSeparation": 8}
    unit = {"timeUnit": "utcyearmonthdate" if days else "utcyearmonthdatehoursminutes"}
    x |= unit if panel.chart == "column" else {"scale": {"type": "utc"}}
    encoding: dict[str, Any] = {
        "x": x,
        "y": {
            "field": "value",
            "type": "quantitative",
            "axis": axis,
        },
    }
    if panel.split:
        legend: dict[str, Any] = {"title": None, "orient": "top"}
        if not colour_scale(panel):
            legend["columns"] = {"expr": f"max(1, floor(width / {LEGEND_WIDTH}))"}
        color: dict[str, Any] = {"field": "series", "type": "nominal", "legend": legend}
        if scale := colour_scale(panel):
            color["scale"] = scale
        encoding["color"] = color
        # With a scale of its own, Vega-Lite would stack each part of a series by itself.
        if panel.chart != "line":
            encoding["order"] = {"field": "series"}
            encoding["y"]["stack"] = "zero"
    drawn = {"mark": marks[panel.chart], "encoding": encoding}
    if panel.chart == "area" and days:
        return {"transform": _gaps(panel), **drawn}
    if panel.chart == "column" and days:
        # As `_gaps`: the average day of a month or a year.
        per_day = {"calculate": "datum.value / (datum.span_days || 1)", "as": "value"}
        return {"transform": [per_day], **drawn}
    return drawn


def _gaps(panel: Panel) -> list[dict[str, Any]]:
    """Return transforms that divide by `span_days`, and that add zeros around steps without data.

    Elasticsearch sends only days that have data. An area would connect the days around a gap.
    """
    before = "datum.time - datum.before > 2.5 * datum.step"
    after = "datum.after - datum.time > 1.5 * datum.step"
    here = "{time: datum.time, share: 1 / (datum.span_days || 1)}"
    points = (
        # The area of one step is as wide as the step.
        f"datum.first === datum.last ? [{here}, "
        "{time: datum.time + datum.step, share: 1 / (datum.span_days || 1)}] : "
        f"[{{time: datum.time - datum.step, share: datum.before_share}}, {here}, "
        "{time: datum.time + datum.step, share: datum.after_share}]"
    )
    edges = [
        {"op": "min", "field": "time", "as": "first"},
        {"op": "max", "field": "time", "as": "last"},
    ]
    window: dict[str, Any] = {
        "window": [
            {"op": "lag", "field": "time", "as": "before"},
            {"op": "lead", "field": "time", "as": "after"},
        ],
        "sort": [{"field": "time"}],
    }
    if panel.split:
        window["groupby"] = ["series"]
    return [
        {"calculate": "(datum.span_days || 1) * 864e5", "as": "step"},
        window,
        {"joinaggregate": edges},
        {
            "calculate": "datum.time - datum.step >= datum.first && "
            f"(!isValid(datum.before) || {before}) ? 0 : null",
            "as": "before_share",
        },
        {
            "calculate": "datum.time + datum.step <= datum.last && "
            f"(!isValid(datum.after) || {after}) ? 0 : null",
            "as": "after_share",
        },
        {"calculate": points, "as": "point"},
        {"flatten": ["point"]},
        {"filter": "isValid(datum.point.share)"},
        {"calculate": "datum.point.time", "as": "time"},
        {"calculate": "datum.value * datum.point.share", "as": "value"},
    ]
