"""Panels, their searches and their rows, and the filters of the page."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
import vl_convert

from customer_profiles.dashboards.drawing import specification
from customer_profiles.dashboards.filters import Filters, InvalidFilterError, search_body
from customer_profiles.dashboards.panels import (
    TIME_FIELDS,
    InvalidPanelError,
    Panel,
    parse_panel,
    read_panels,
)
from customer_profiles.dashboards.searches import panel_rows, panel_search
from customer_profiles.dashboards.vega import VL_VERSION
from customer_profiles.search.alert_index import ALERTS
from customer_profiles.search.alert_index import MAPPING as ALERT_FIELDS
from customer_profiles.search.experiments import RESULT_FIELDS, RESULTS
from customer_profiles.search.mapping import TEMPLATE
from customer_profiles.search.metrics_indices import MAPPINGS
from customer_profiles.search.quality_indices import QUALITY_MAPPINGS

PANELS = {panel.name: panel for panel in read_panels()}
FIELDS = {
    "customer_profiles": set(TEMPLATE["template"]["mappings"]["properties"]),
    **{name: set(fields) for name, fields in {**MAPPINGS, **QUALITY_MAPPINGS}.items()},
    RESULTS: set(RESULT_FIELDS),
    ALERTS: set(ALERT_FIELDS),
}
BAR = """
title = "Rows"
about = "All."
explanation = "Rows."
dashboard = "pipeline"
width = "half"
chart = "bar"
index = "rejected_rows"
measure = { label = "Rows", operation = "sum", field = "rows" }
by = { label = "Reason", field = "reason" }
"""


def fields_of(body: Any) -> set[str]:
    """Return every field that a search names."""
    fields: set[str] = set()
    if isinstance(body, dict):
        for key, value in body.items():
            if key == "field":
                fields.add(value)
            elif (
                key in ("term", "terms", "range")
                and isinstance(value, dict)
                and "field" not in value
            ):
                fields |= set(value)
            elif key == "sort":
                fields |= {name for entry in value for name in entry}
            elif key == "_source":
                fields |= set(value)
            else:
                fields |= fields_of(value)
    elif isinstance(body, list):
        fields = set().union(*map(fields_of, body))
    return fields


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_a_panel_searches_existing_fields_and_is_valid_vega_lite(panel: Panel) -> None:
    assert fields_of(panel_search(panel)) <= FIELDS[panel.index]
    spec = {**specification(panel, {"values": []}), "width": 300}
    assert vl_convert.vegalite_to_vega(json.dumps(spec), vl_version=VL_VERSION)["marks"]


def test_every_index_has_its_time_field() -> None:
    assert all(field in FIELDS[index] for index, field in TIME_FIELDS.items())


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_a_panel_explains_its_number_and_its_time(panel: Panel) -> None:
    assert panel.about.endswith(".")
    assert panel.explanation.endswith(".")
    said = panel.about.lower()
    if panel.follows_time:
        assert "time range" in said
    elif panel.range == "all":
        assert "whatever the time range" in said
    else:
        assert "by the clock" in said


def test_a_panel_of_a_new_capability_is_one_text() -> None:
    panel = parse_panel("reasons", BAR)
    bucket = {"key": "price_invalid", "doc_count": 2, "value": {"value": 7.0}}
    rows = panel_rows(panel, {"aggregations": {"by": {"buckets": [bucket]}}})
    assert rows == [{"key": "price_invalid", "value": 7.0}]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"bar"', '"pie"', "pie is none of metric, bar"),
        ('"half"', '"huge"', "huge is none of figure"),
        ('"pipeline"', '"sales"', "sales is none of customers"),
        ('"rejected_rows"', '"orders"', "orders is none of customer_profiles"),
        ('operation = "sum", ', "", "name a field for sum"),
        ('by = { label = "Reason", field = "reason" }', "", "a bar needs a dimension"),
        ("explanation", "explained", "explained"),
        ("title =", "title", "reasons: "),
    ],
)
def test_a_wrong_description_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(InvalidPanelError, match=message):
        parse_panel("reasons", BAR.replace(old, new))


def test_a_ratio_of_nothing_is_null_and_a_share_counts_the_documents_that_match() -> None:
    conversion = PANELS["conversion"]

    def rows(buyers: int, customers: int) -> list[dict[str, Any]]:
        total = {"total": {"value": customers}}
        return panel_rows(
            conversion, {"hits": total, "aggregations": {"value": {"doc_count": buyers}}}
        )

    assert rows(1, 4) == [{"value": 0.25}]
    assert rows(0, 4) == [{"value": 0.0}]
    assert rows(0, 0) == [{"value": None}]
    assert panel_rows(PANELS["total-customers"], {"hits": {"total": {"value": 3}}}) == [
        {"value": 3.0}
    ]


def test_rows_of_a_chart_over_time_have_a_series_and_the_length_of_a_coarse_step() -> None:
    days = {"buckets": [{"key": 0, "doc_count": 1, "value": {"value": 2.0}, "span_days": 31}]}
    response = {"aggregations": {"split": {"buckets": [{"key": "view", "by": days}]}}}
    assert panel_rows(PANELS["events"], response) == [
        {"series": "view", "time": 0, "value": 2.0, "span_days": 31}
    ]


def test_filters_are_read_from_query_parameters() -> None:
    parameters = {"segment": "High Value", "brand": "", "since": "2020-10-01"}
    assert Filters.from_query(parameters.items()) == Filters(
        segment="High Value", since=date(2020, 10, 1)
    )
    with pytest.raises(InvalidFilterError, match="no filter colour"):
        Filters.from_query([("colour", "red")])
    with pytest.raises(InvalidFilterError, match="since=yesterday is no day"):
        Filters.from_query([("since", "yesterday")])


def test_every_filter_reaches_every_panel_about_customers() -> None:
    all_filters = Filters("S", "c", "b", date(2020, 1, 1), date(2020, 1, 31))
    for panel in PANELS.values():
        own = panel_search(panel)["query"]["bool"]["filter"]
        added = search_body(panel, all_filters)["query"]["bool"]["filter"][len(own) :]
        assert len(added) == 3 * panel.follows_filters + panel.follows_time, panel.name
        assert search_body(panel, Filters()) == panel_search(panel)
        if panel.dashboard == "customers":
            assert len(added) == 4
        elif panel.dashboard != "quality":
            assert not panel.follows_time
