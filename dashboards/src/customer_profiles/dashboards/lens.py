"""Panels as Lens visualizations, by value: what Kibana calls the `attributes` of a panel.

Lens keeps a chart as columns (bucketed ones split documents, the others measure them) and as a
drawing that names the columns. The columns say the same as `searches` asks Elasticsearch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from customer_profiles.dashboards.panels import Conditions, Dimension, Measure, Panel

VALUE, BY, SPLIT = "value", "by", "split"
"""Ids of columns."""
INTERVALS = {"day": "d", "minute": "m"}
"""Kibana's names of `Dimension.step`."""
SERIES = {"bar": "bar_horizontal", "column": "bar_stacked", "line": "line"}
"""Kibana's names of charts. An area is stacked if it has several series."""
SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
Column = dict[str, Any]


def lens_attributes(panel: Panel, data_view: str) -> dict[str, Any]:
    """Return a panel as Kibana keeps it.

    Args:
        panel: any but `documents`.
        data_view: the id of the data view of the panel's index.
    """
    return {
        "title": panel.title,
        "description": panel.about,
        "type": "lens",
        "visualizationType": "lnsMetric" if panel.chart == "metric" else "lnsXY",
        "references": [lens_reference(panel, data_view)],
        "state": {
            "visualization": _metric(panel) if panel.chart == "metric" else _xy(panel),
            "query": {"query": conditions_to_kql(panel.where), "language": "kuery"},
            "filters": [],
            "datasourceStates": {"formBased": {"layers": {panel.name: _layer(panel)}}},
            "internalReferences": [],
            "adHocDataViews": {},
        },
    }


def lens_reference(panel: Panel, data_view: str) -> dict[str, str]:
    """Return the reference from a panel's only layer to its data view."""
    name = f"indexpattern-datasource-layer-{panel.name}"
    return {"type": "index-pattern", "id": data_view, "name": name}


def conditions_to_kql(conditions: Conditions) -> str:
    """Return conditions in Kibana's query language."""
    return " and ".join(
        part for field, wanted in conditions.items() for part in _kql_parts(field, wanted)
    )


def _kql_parts(field: str, wanted: Any) -> list[str]:
    if isinstance(wanted, Mapping):
        return [f"{field} {SIGNS[sign]} {limit}" for sign, limit in wanted.items()]
    if isinstance(wanted, list):
        return [f"{field} : ({' or '.join(map(_quote, wanted))})"]
    return [f"{field} : {_quote(wanted)}"]


def _quote(text: Any) -> str:
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _layer(panel: Panel) -> dict[str, Any]:
    columns: dict[str, Column] = {}
    # The outer groups come first.
    for name, dimension in ((SPLIT, panel.split), (BY, panel.by)):
        if dimension:
            columns[name] = _bucket_column(dimension, panel)
    columns |= _measure_columns(panel.number)
    return {
        "columns": columns,
        "columnOrder": list(columns),
        "incompleteColumns": {},
        "sampling": 1,
        "ignoreGlobalFilters": False,
    }


def _bucket_column(dimension: Dimension, panel: Panel) -> Column:
    column = {"label": dimension.label, "customLabel": True, "isBucketed": True}
    if dimension.groups:
        filters = [
            {
                "label": group.label,
                "input": {"query": conditions_to_kql(group.where), "language": "kuery"},
            }
            for group in dimension.groups
        ]
        kind = {"operationType": "filters", "dataType": "string", "scale": "ordinal"}
        return {**column, **kind, "params": {"filters": filters}}
    if dimension.step:
        # Kibana applies the dashboard's time range to this field instead of the data view's, unless
        # it is told not to.
        is_time = dimension.field == panel.time_field and panel.range != "all"
        return {
            **column,
            "operationType": "date_histogram",
            "dataType": "date",
            "scale": "interval",
            "sourceField": dimension.field,
            "params": {
                "interval": INTERVALS[dimension.step],
                "includeEmptyRows": True,
                "dropPartials": False,
                "ignoreTimeRange": not is_time,
            },
        }
    return {
        **column,
        "operationType": "terms",
        "dataType": "string",
        "scale": "ordinal",
        "sourceField": dimension.field,
        "params": {
            "size": dimension.size,
            **_order(panel.number),
            "otherBucket": False,
            "missingBucket": False,
            "parentFormat": {"id": "terms"},
            "include": [],
            "exclude": [],
            "includeIsRegex": False,
            "excludeIsRegex": False,
        },
    }


def _order(measure: Measure) -> Column:
    """Return the order of values: that of `searches`."""
    if measure.per is not None:
        # Lens does not order by a formula.
        return {"orderBy": {"type": "alphabetical", "fallback": True}, "orderDirection": "asc"}
    return {"orderBy": {"type": "column", "columnId": VALUE}, "orderDirection": "desc"}


def _measure_columns(measure: Measure) -> dict[str, Column]:
    """Return the column of a measure, after the columns that it is computed from."""
    if measure.per is None:
        return {VALUE: {**_number_column(measure), **_shown(measure)}}
    parts = {"valueX0": measure, "valueX1": measure.per}
    formula = f"{_formula(measure)} / {_formula(measure.per)}"
    columns = {
        name: {**_number_column(part), "label": f"Part of {measure.label}", "customLabel": True}
        for name, part in parts.items()
    }
    columns["valueX2"] = {
        **_NUMBER,
        "label": f"Part of {measure.label}",
        "customLabel": True,
        "operationType": "math",
        "references": list(parts),
        "params": {
            "tinymathAst": {
                "type": "function",
                "name": "divide",
                "args": list(parts),
                "location": {"min": 0, "max": len(formula)},
                "text": formula,
            }
        },
    }
    shown = _shown(measure)
    columns[VALUE] = {
        **_NUMBER,
        **shown,
        "operationType": "formula",
        "references": ["valueX2"],
        "params": {**shown["params"], "formula": formula, "isFormulaBroken": False},
    }
    return columns


_NUMBER: Column = {"dataType": "number", "isBucketed": False, "scale": "ratio"}


def _number_column(measure: Measure) -> Column:
    column = {
        **_NUMBER,
        "operationType": measure.operation,
        "sourceField": measure.field or "___records___",
        "params": {"emptyAsNull": False},
    }
    if not measure.where:
        return column
    return {
        **column,
        "filter": {"query": conditions_to_kql(measure.where), "language": "kuery"},
    }


def _shown(measure: Measure) -> Column:
    kind = "percent" if measure.percent else "number"
    number_format = {"id": kind, "params": {"decimals": measure.decimals}}
    params = {"emptyAsNull": False, "format": number_format}
    return {"label": measure.label, "customLabel": True, "params": params}


def _formula(measure: Measure) -> str:
    arguments = [measure.field] if measure.field else []
    if measure.where:
        arguments.append(f"kql='{conditions_to_kql(measure.where)}'")
    return f"{measure.operation}({', '.join(arguments)})"


def _metric(panel: Panel) -> dict[str, Any]:
    return {
        "layerId": panel.name,
        "layerType": "data",
        "metricAccessor": VALUE,
        "subtitle": panel.about,
    }


def _xy(panel: Panel) -> dict[str, Any]:
    series = SERIES.get(panel.chart) or ("area_stacked" if panel.split else "area")
    shown = {"x": True, "yLeft": True, "yRight": True}
    layer: dict[str, Any] = {
        "layerId": panel.name,
        "layerType": "data",
        "seriesType": series,
        "position": "top",
        "showGridlines": False,
        "xAccessor": BY,
        "accessors": [VALUE],
    }
    if panel.split:
        layer["splitAccessor"] = SPLIT
    return {
        "preferredSeriesType": series,
        "layers": [layer],
        "legend": {"isVisible": panel.split is not None, "position": "top"},
        # Labels say a bar's number; areas and stacks have too many.
        "valueLabels": "show" if panel.chart == "bar" else "hide",
        "fittingFunction": "None" if panel.chart == "line" else "Zero",
        "axisTitlesVisibilitySettings": {"x": False, "yLeft": True, "yRight": True},
        "tickLabelsVisibilitySettings": shown,
        "gridlinesVisibilitySettings": shown,
        "labelsOrientation": {"x": 0, "yLeft": 0, "yRight": 0},
    }
