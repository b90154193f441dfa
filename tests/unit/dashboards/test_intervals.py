"""Charts of days look the same without the empty days, and fall back to months and years."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
import vl_convert
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import ApiError

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts.limits import MAX_CHART_BUCKETS
from customer_profiles.dashboards.drawing import specification
from customer_profiles.dashboards.filters import Filters, search_body
from customer_profiles.dashboards.intervals import INTERVALS, add_span, has_days, with_interval
from customer_profiles.dashboards.panels import Panel, read_panels
from customer_profiles.dashboards.queries import Dashboard
from customer_profiles.dashboards.searches import panel_search
from customer_profiles.dashboards.settings import Settings
from customer_profiles.dashboards.vega import VL_VERSION

PANELS = {panel.name: panel for panel in read_panels()}
DAY_MS = 86_400_000
FIRST = 18_000
"""The first day of the test data, in days after 1970."""


OF_CLOSED_DAYS = ["experiment-looks", "checks-over-time", "checks-beyond", "rejected-by-day"]
"""Panels of days by the clock, or that have 14 days of warm-up: no data of all years 1 to 9999."""


def histograms(body: Any) -> Iterator[dict[str, Any]]:
    """Yield every histogram of a search."""
    if isinstance(body, dict):
        for key, value in body.items():
            if key == "date_histogram":
                yield value
            yield from histograms(value)


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_no_panel_asks_for_empty_intervals(panel: Panel) -> None:
    for interval in INTERVALS:
        body = with_interval(search_body(panel, Filters(since=date(1, 1, 1))), interval)
        assert all(histogram["min_doc_count"] == 1 for histogram in histograms(body))
    assert with_interval(panel_search(panel), "day") == panel_search(panel)


def test_years_fit_whatever_the_time_range_holds() -> None:
    by_day = [panel.name for panel in PANELS.values() if has_days(panel_search(panel))]
    of_events = ["revenue", "events", "returning"]
    assert by_day == [*of_events, *OF_CLOSED_DAYS]
    event_types = 4
    assert 9_999 * (event_types + 1) < MAX_CHART_BUCKETS
    for name in OF_CLOSED_DAYS:
        split = PANELS[name].split
        assert split
        assert 2_000 * (split.size + 1) < MAX_CHART_BUCKETS, name
    for name in by_day:
        (histogram,) = histograms(with_interval(panel_search(PANELS[name]), "year"))
        assert histogram["calendar_interval"] == "year"


def rows_of(panel: Panel, series: dict[str, dict[int, int]]) -> list[dict[str, Any]]:
    return [
        {"time": day * DAY_MS, "value": count, "series": name}
        for name, days in series.items()
        if panel.split or name == "view"
        for day, count in days.items()
    ]


def outlines(panel: Panel, rows: list[Any], first: int, last: int) -> list[list[tuple[float, ...]]]:
    """Draw a panel and return the points of each area, scaled to a fixed range of days."""
    spec = specification(panel, {"values": rows})
    spec["width"] = 800
    spec["encoding"]["x"]["scale"]["domain"] = [first * DAY_MS, last * DAY_MS]
    svg = vl_convert.vegalite_to_svg(json.dumps(spec), vl_version=VL_VERSION)
    areas = re.findall(r'<path aria-label="[^"]*"[^>]*? d="(M[^"]*)"', svg)
    numbers = [[float(text) for text in re.findall(r"-?[\d.]+", area)] for area in areas]
    return [list(zip(values[::2], values[1::2], strict=True)) for values in numbers]


def heights(outline: list[tuple[float, ...]], count: int) -> list[float]:
    """Return the upper edge of an area at `count` places, by linear interpolation."""
    half = len(outline) // 2
    upper = sorted(outline[:half]) if len(outline) > 2 else outline
    result = []
    for step in range(count):
        x = 800 * step / (count - 1)
        left = max((point for point in upper if point[0] <= x + 1e-6), default=None)
        right = min((point for point in upper if point[0] >= x - 1e-6), default=None)
        if left is None or right is None:
            result.append(-1.0)
        elif right[0] - left[0] < 1e-6:
            result.append(right[1])
        else:
            share = (x - left[0]) / (right[0] - left[0])
            result.append(left[1] + share * (right[1] - left[1]))
    return result


SERIES = {
    "view": {0: 9, 1: 5, 2: 7, 5: 4, 7: 3, 20: 8, 21: 2, 39: 1},
    "purchase": {3: 2, 8: 5, 9: 1, 30: 6},
}


@pytest.mark.parametrize("name", ["revenue", "events", "returning"])
def test_a_chart_without_empty_days_looks_as_with_them(name: str) -> None:
    panel = PANELS[name]
    sparse = {key: {FIRST + day: n for day, n in days.items()} for key, days in SERIES.items()}
    dense = {
        key: {day: days.get(day, 0) for day in range(min(days), max(days) + 1)}
        for key, days in sparse.items()
    }
    last = FIRST + 39
    with_empty = outlines(panel, rows_of(panel, dense), FIRST, last)
    without = outlines(panel, rows_of(panel, sparse), FIRST, last)
    assert len(with_empty) == len(without) == 2
    if name == "revenue":
        # The second path is the line on top of the one area.
        del with_empty[1], without[1]
    for expected, actual in zip(with_empty, without, strict=True):
        assert heights(actual, 40) == pytest.approx(heights(expected, 40), abs=0.01)


@pytest.mark.parametrize("name", ["revenue", "events", "returning"])
def test_the_area_of_one_day_is_as_wide_as_the_day(name: str) -> None:
    panel = PANELS[name]
    outline, *_ = outlines(panel, rows_of(panel, {"view": {FIRST: 9}}), FIRST, FIRST + 10)
    edges = [point[0] for point in outline]
    # The scale leaves some of the 800 pixels to the axis.
    assert (min(edges), max(edges)) == pytest.approx((0, 80), abs=8)


@pytest.mark.parametrize(("days", "width"), [(1, 48), (2, 48), (40, 20)])
def test_a_column_is_as_wide_as_its_day_but_never_fills_a_panel(days: int, width: int) -> None:
    rows = [{"time": (FIRST + day) * DAY_MS, "value": 2, "series": "view"} for day in range(days)]
    spec = {**specification(PANELS["rejected-by-day"], {"values": rows}), "width": 800}
    # What is drawn is 800 pixels wide, without the axis.
    del spec["autosize"]
    svg = vl_convert.vegalite_to_svg(json.dumps(spec), vl_version=VL_VERSION)
    widths = re.findall(r'aria-roledescription="bar" d="M[\d.]+,[\d.]+h([\d.]+)v', svg)
    assert [float(found) for found in widths] == pytest.approx([width] * days)


def test_a_month_or_a_year_shows_its_average_day() -> None:
    body = panel_search(PANELS["events"])
    key = (date(2024, 2, 1) - date(1970, 1, 1)).days * DAY_MS
    response: dict[str, Any] = {
        "aggregations": {"split": {"buckets": [{"key": "view", "by": {"buckets": [{"key": key}]}}]}}
    }
    for interval, days in (("month", 29), ("year", 366)):
        add_span(body, response, interval)
        (row,) = response["aggregations"]["split"]["buckets"][0]["by"]["buckets"]
        assert row == {"key": key, "span_days": days}
    first_key = (date(1, 1, 1) - date(1970, 1, 1)).days * DAY_MS
    last_key = (date(9999, 12, 1) - date(1970, 1, 1)).days * DAY_MS
    rows: dict[str, list[dict[str, Any]]] = {
        "buckets": [{"key": first_key}, {"key": float(last_key)}]
    }
    add_span(panel_search(PANELS["revenue"]), {"aggregations": {"by": rows}}, "month")
    assert [row["span_days"] for row in rows["buckets"]] == [31, 31]


class RefusedError(ApiError):
    """The answer of Elasticsearch to a search with too many buckets."""

    def __init__(self, kind: str) -> None:
        body = {"error": {"type": "search_phase_execution_exception", "caused_by": {"type": kind}}}
        meta = ApiResponseMeta(400, "1.1", HttpHeaders(), 0.0, NodeConfig("http", "127.0.0.1", 9))
        super().__init__("refused", meta, body)


VALUE = {"value": {"value": 5.0}}


class FakeClient:
    """Refuses every interval finer than `accepts`."""

    def __init__(self, accepts: str | None, kind: str = "too_many_buckets_exception") -> None:
        self.accepts = accepts
        self.kind = kind
        self.intervals: list[str] = []

    def search(self, *, body: dict[str, Any], **_: str) -> Any:
        (histogram,) = histograms(body)
        self.intervals.append(histogram["calendar_interval"])
        if self.intervals[-1] != self.accepts:
            raise RefusedError(self.kind)

        class Response:
            body = {"aggregations": {"by": {"buckets": [{"key": 0, **VALUE}]}}}  # noqa: RUF012

        return Response


@pytest.fixture
def dashboard(monkeypatch: pytest.MonkeyPatch) -> Dashboard:
    settings = {"MINIO_ROOT_USER": "someone", "MINIO_ROOT_PASSWORD": "not-a-real-one"}
    return Dashboard(Settings.from_env(settings))


def ask(dashboard: Dashboard, client: FakeClient) -> list[Any]:
    dashboard._profiles.client = client  # type: ignore[assignment]
    return dashboard.rows(PANELS["revenue"], Filters())


def test_a_chart_of_too_many_days_gets_months_and_then_years(dashboard: Dashboard) -> None:
    client = FakeClient("day")
    assert ask(dashboard, client) == [{"time": 0, "value": 5.0}]
    assert client.intervals == ["day"]
    client = FakeClient("month")
    assert ask(dashboard, client) == [{"time": 0, "value": 5.0, "span_days": 31}]
    assert client.intervals == ["day", "month"]
    client = FakeClient("year")
    assert ask(dashboard, client) == [{"time": 0, "value": 5.0, "span_days": 365}]
    assert client.intervals == ["day", "month", "year"]
    with pytest.raises(PipelineError, match="set From and To"):
        ask(dashboard, FakeClient(None))


def test_another_refusal_is_not_asked_again(dashboard: Dashboard) -> None:
    client = FakeClient("month", kind="illegal_argument_exception")
    with pytest.raises(PipelineError, match="refuses"):
        ask(dashboard, client)
    assert client.intervals == ["day"]


class EmptyElasticsearch:
    """Has none of the indices in `missing`, and no documents in the others."""

    def __init__(self, missing: set[str]) -> None:
        self.missing = missing

    def search(self, *, index: str, **_: Any) -> Any:
        raise RefusedError(self._refusal(index))

    def msearch(self, *, searches: list[dict[str, Any]]) -> Any:
        indices = [header["index"] for header in searches[::2]]
        kinds = [self._refusal(index) for index in indices]
        responses = [{"error": {"type": kind}, "status": 400} for kind in kinds]
        return SimpleNamespace(body={"responses": responses})

    def _refusal(self, index: str) -> str:
        is_missing = index in self.missing
        return "index_not_found_exception" if is_missing else "security_exception"


def test_a_panel_without_its_index_is_empty_and_says_what_fills_it(dashboard: Dashboard) -> None:
    client = EmptyElasticsearch({panel.index for panel in PANELS.values()})
    dashboard._profiles.client = client  # type: ignore[assignment]
    for panel in PANELS.values():
        rows = dashboard.rows(panel, Filters())
        assert rows == ([{"value": None}] if panel.chart == "metric" else [])
    hints = [panel["empty"] for panel in dashboard.panels()]
    assert all(hint and hint != "No data yet." for hint in hints)
    assert dashboard.choices()["first"] is None
    summary = dashboard.summary(Filters())
    assert summary["periods"] is None
    assert {figure["value"] for figure in summary["figures"].values()} == {None}


def test_no_other_refusal_looks_like_an_empty_panel(dashboard: Dashboard) -> None:
    dashboard._profiles.client = EmptyElasticsearch(set())  # type: ignore[assignment]
    for panel in PANELS.values():
        with pytest.raises(PipelineError, match="refuses"):
            dashboard.rows(panel, Filters())
    with pytest.raises(PipelineError, match="refuses"):
        dashboard.summary(Filters())
