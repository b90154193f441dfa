"""The page in a real browser, on real servers, shows the numbers that DuckDB computes."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from customer_profiles.dashboards.hints import empty_hint
from customer_profiles.dashboards.kibana import data_range
from customer_profiles.dashboards.panels import read_panels
from customer_profiles.dashboards.saved_objects import saved_objects
from customer_profiles.experimentation.result_documents import to_documents
from customer_profiles.processing.tasks.config import TaskConfig
from customer_profiles.search.alert_index import ALERTS, AlertIndex
from customer_profiles.search.experiments import RESULTS, ExperimentIndices
from customer_profiles.search.metrics_indices import MetricsIndices
from customer_profiles.search.quality_indices import QUALITY_METRICS, index_quality
from scripts.make_sample import make_events
from scripts.screenshots import browser_options
from tests.integration.conftest import Stack, ingest, process, running, search
from tests.integration.lens_translation import to_rows, to_search
from tests.support import HEADER, ROOT, line, oracle
from tests.unit.experimentation.test_reports import RESULT

WAIT_S = 60
PANELS = {panel.name: panel for panel in read_panels()}
NOT_FILLED = [
    name for name, panel in PANELS.items() if panel.index in (RESULTS, QUALITY_METRICS, ALERTS)
]
"""Panels whose indices do not exist until somebody runs an experiment, a check or the alerts."""
EMPTY = ["lag", *NOT_FILLED]
FILTERS = [
    {},
    {"segment": "Converting Customer"},
    {"category": "electronics"},
    {"category": "(none)", "segment": "Casual Visitor"},
    {"brand": "(none)"},
    {"since": "2020-11-01", "until": "2020-12-31"},
    {
        "segment": "Interested Shopper",
        "category": "computers",
        "since": "2020-10-10",
        "until": "2021-01-31",
    },
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("stack"), DASHBOARD_PORT=str(free_port())) as stack:
        yield stack


@pytest.fixture(scope="module")
def rows(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ingest and process a file; return its path."""
    path = tmp_path_factory.mktemp("rows") / "events.csv"
    make_events(12_000, 11).write_csv(path)
    ingest(stack, path)
    process(stack)
    return path


@pytest.fixture(scope="module")
def site(stack: Stack, rows: Path) -> Iterator[str]:
    """Serve the page; return its address."""
    log = stack.reports.parent / "dashboard.log"
    with log.open("w") as out:
        command = [sys.executable, "-m", "customer_profiles.dashboards", "serve"]
        child = subprocess.Popen(command, cwd=ROOT, env=dict(stack.environ), stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + WAIT_S
        while "Ctrl-C ends them" not in log.read_text():
            assert child.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{stack.environ['DASHBOARD_PORT']}"
    finally:
        child.send_signal(signal.SIGINT)
        assert child.wait(WAIT_S) == 0, log.read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(**browser_options())
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    """Open a page that fails the test if it logs an error or requests any other address."""
    page = browser.new_page(viewport={"width": 1400, "height": 900}, reduced_motion="reduce")
    problems: list[str] = []
    page.on(
        "console",
        lambda entry: problems.append(entry.text) if entry.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith((site, "data:")) else problems.append(request.url)
        ),
    )
    yield page
    page.close()
    assert not problems


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def get(site: str, path: str) -> Any:
    with urllib.request.urlopen(f"{site}/{path}", timeout=30) as response:
        return json.load(response)


def data(site: str, panel: str, filters: dict[str, str]) -> Any:
    return get(site, f"data/{panel}?{urllib.parse.urlencode(filters)}")


def open_page(page: Page, site: str, filters: dict[str, str] | None = None) -> None:
    query = urllib.parse.urlencode(filters or {})
    page.goto(f"{site}/?{query}" if query else site)
    wait_loaded(page, query)


def wait_loaded(page: Page, query: str = "") -> None:
    page.wait_for_function(
        "wanted => document.body.dataset.loaded === (wanted || 'all')", arg=query
    )


def texts(page: Page, panel: str) -> list[str]:
    """Return the texts of a chart, or the value of a key figure."""
    places = page.locator(f"#panel-{panel} svg text, #panel-{panel} .value")
    return [text for text in places.all_text_contents() if text]


class Expected:
    """The numbers of the panels under filters, computed by DuckDB from the CSV."""

    def __init__(self, rows: Path, filters: dict[str, str]) -> None:
        self._sql = duckdb.connect()
        self._sql.register("profiles", oracle(rows).to_arrow())
        names = [key for key in ("segment", "category", "brand") if key in filters]
        values = {key: filters[key] for key in names}
        profile_conditions = {
            "segment": "customer_segment = $segment",
            "category": "coalesce(split_part(favorite_category, '.', 1), '(none)') = $category",
            "brand": "coalesce(favorite_brand, '(none)') = $brand",
        }
        event_conditions = {
            "segment": "customer_segment = $segment",
            "category": "category = $category",
            "brand": "brand = $brand",
        }
        since, until = filters.get("since", "1970-01-01"), filters.get("until", "2100-01-01")
        span = f"between date '{since}' and date '{until}'"
        self._sql.execute(
            "create table customers as select * from profiles where "
            f"len(list_filter(event_days, x -> x {span})) > 0 "
            + "".join(f" and {profile_conditions[key]}" for key in names),
            values,
        )
        self._sql.execute(
            f"""create table events as select * from (
                    select event_type, price::decimal(18, 4) as price,
                        strptime(event_time, '%Y-%m-%d %H:%M:%S UTC')::date as day,
                        coalesce(split_part(category_code, '.', 1), '(none)') as category,
                        coalesce(brand, '(none)') as brand, customer_segment
                    from (select distinct *
                          from read_csv('{rows}', all_varchar = true, header = true)
                          where user_session is not null) join profiles using (user_id)
                ) where day {span} """
            + "".join(f" and {event_conditions[key]}" for key in names),
            values,
        )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self._sql.execute(sql).fetchall()


PURCHASED = "event_type = 'purchase'"
EXPECTED_SQL = {
    "total-customers": "select count(*) from customers",
    "total-revenue": f"select coalesce(sum(price), 0) from events where {PURCHASED}",
    "total-purchases": f"select count(*) from events where {PURCHASED}",
    "average-order": f"select avg(price) from events where {PURCHASED}",
    "conversion": "select avg((total_purchases > 0)::int) from customers",
    "revenue": f"select day, sum(price) from events where {PURCHASED} group by 1",
    "segment-revenue": "select customer_segment, sum(price) from events "
    f"where {PURCHASED} group by 1",
    "segments": "select customer_segment, count(*) from customers group by 1",
    "funnel": "select type, count(event_type) from (values ('view'), ('cart'), ('purchase')) "
    "types(type) left join events on event_type = type group by 1",
    "events": "select event_type, day, count(*) from events group by all",
    "categories": f"select category, sum(price) filter ({PURCHASED}) from events group by 1",
    "brands": f"select brand, sum(price) filter ({PURCHASED}) from events group by 1",
    "returning": "select case when days_active >= 2 then 'came back' else 'did not come back' end, "
    "first_seen::date, count(*) from customers group by all",
}
"""The keys and the value of each row of a panel, by the panel's name."""
TOP = ("categories", "brands")
"""Panels that leave out all but the first keys."""
Points = dict[tuple[str, ...], float]


def expected_points(name: str, expected: Expected) -> Points:
    return {
        tuple(str(key) for key in keys): round(float(value or 0), 4)
        for *keys, value in expected.query(EXPECTED_SQL[name])
    }


def points(rows: list[dict[str, Any]], names: tuple[str, ...]) -> Points:
    """Return rows of the page or of Lens, with days instead of milliseconds."""

    def key_of(row: dict[str, Any], name: str) -> str:
        value = row[name]
        if isinstance(value, str):
            return value
        return str(date(1970, 1, 1) + timedelta(milliseconds=value))

    return {
        tuple(key_of(row, name) for name in names if name in row): round(
            float(row["value"] or 0), 4
        )
        for row in rows
    }


def check_points(name: str, shown: Points, expected: Points) -> None:
    if name not in TOP:
        assert shown == expected, name
        return
    assert shown
    assert shown == {key: expected[key] for key in shown}, name
    by_value = sorted(shown.values(), reverse=True)
    assert list(shown.values()) == by_value
    # Event counts do not name every brand.
    if name != "brands":
        assert by_value == sorted(expected.values(), reverse=True)[: len(by_value)]


@pytest.mark.parametrize(
    "filters", FILTERS, ids=lambda filters: urllib.parse.urlencode(filters) or "all"
)
def test_every_number_matches_the_rows(
    site: str, stack: Stack, rows: Path, filters: dict[str, str]
) -> None:
    """On the page, and in Kibana: its panels, translated to searches."""
    expected = Expected(rows, filters)
    customers_panels = {
        name for name, panel in PANELS.items() if panel.dashboard == "customers" and panel.measure
    }
    assert set(EXPECTED_SQL) == customers_panels
    for name in EXPECTED_SQL:
        wanted = expected_points(name, expected)
        check_points(name, points(data(site, name, filters), ("series", "key", "time")), wanted)
        check_points(name, points(lens_rows(stack, name, filters), ("split", "by")), wanted)
    top_customers = [(row["user_id"], row["total_revenue"]) for row in data(site, "best", filters)]
    assert top_customers == expected.query(
        "select user_id, total_revenue::double from customers where total_revenue > 0 "
        "order by total_revenue desc, user_id limit 10"
    )


def lens_rows(stack: Stack, name: str, filters: dict[str, str]) -> list[dict[str, Any]]:
    """Return what Kibana draws in a panel under filters of its controls and a time range."""
    objects = saved_objects()
    views = {item["id"]: item["attributes"] for item in objects if item["type"] == "index-pattern"}
    (panel,) = [
        placement
        for item in objects
        if item["type"] == "dashboard"
        for placement in json.loads(item["attributes"]["panelsJSON"])
        if placement["panelIndex"] == name
    ]
    attributes = panel["embeddableConfig"]["attributes"]
    view = views[attributes["references"][0]["id"]]
    fields = {"segment": "customer_segment", "category": "category", "brand": "brand"}
    chosen = {fields[key]: value for key, value in filters.items() if key in fields}
    time_range = {
        "gte": filters.get("since", "0001-01-01"),
        "lte": f"{filters.get('until', '9999-12-31')}||/d",
    }
    if own := panel["embeddableConfig"].get("timeRange"):
        time_range = {"gte": own["from"], "lte": own["to"]}
    body = to_search(attributes, view.get("timeFieldName"), chosen, time_range)
    return to_rows(attributes, search(stack, f"{view['title']}/_search", body))


def same_filters_in(filters: dict[str, str], since: str, until: str) -> dict[str, str]:
    return {**filters, "since": since, "until": until}


@pytest.mark.parametrize(
    "filters", FILTERS, ids=lambda filters: urllib.parse.urlencode(filters) or "all"
)
def test_what_changed_matches_the_rows(site: str, rows: Path, filters: dict[str, str]) -> None:
    summary = get(site, f"summary?{urllib.parse.urlencode(filters)}")
    periods = summary["periods"]
    assert periods["days"] == 30
    values = {name: figure["value"] for name, figure in summary["figures"].items()}
    assert values == {name: data(site, name, filters)[0]["value"] for name in values}
    now, before = (
        Expected(rows, same_filters_in(filters, periods[since], periods[until]))
        for since, until in (("since", "until"), ("before_since", "before_until"))
    )
    for name in summary["figures"]:
        figure = summary["figures"][name]
        for value, expected in ((figure["now"], now), (figure["before"], before)):
            ((wanted,),) = expected.query(EXPECTED_SQL[name])
            assert value == (wanted and pytest.approx(float(wanted))), name
    whenever = {key: value for key, value in filters.items() if key not in ("since", "until")}
    check_sparkline(summary, Expected(rows, whenever))
    differences = {
        (dimension, key): float(new or 0) - float(old or 0)
        for dimension, column in MOVING.items()
        if dimension not in filters
        for key, new, old in sums_of(now, before, column)
    }
    for row in summary["movements"]:
        change = differences[(row["dimension"], row["key"])]
        assert row["now"] - row["before"] == pytest.approx(change)
    shown = [abs(row["now"] - row["before"]) for row in summary["movements"]]
    assert shown == sorted(shown, reverse=True)
    assert len(shown) <= 3
    # Event counts do not name every brand.
    named = [abs(value) for (name, _), value in differences.items() if name != "brand"]
    assert max(named, default=0) <= max(shown, default=0) + 0.01


def check_sparkline(summary: dict[str, Any], customers: Expected) -> None:
    """Check the customers with an event in each step up to the end of the time range."""
    first, last = (date.fromisoformat(summary["periods"][name]) for name in ("first", "until"))
    days = (last - first).days + 1
    step = -(-days // 40)
    wanted = []
    for number in range(days // step):
        end = last - timedelta(step * number)
        span = f"between date '{end - timedelta(step - 1)}' and date '{end}'"
        ((count,),) = customers.query(
            f"select count(*) from customers where len(list_filter(event_days, x -> x {span})) > 0"
        )
        wanted.append(count)
    shown = summary["figures"]["total-customers"]["spark"]
    assert trim_zeros(shown) == trim_zeros(wanted[::-1])


def trim_zeros(numbers: list[float]) -> list[float]:
    filled = [place for place, number in enumerate(numbers) if number]
    return numbers[filled[0] : filled[-1] + 1] if filled else []


MOVING = {"segment": "customer_segment", "category": "category", "brand": "brand"}


def sums_of(now: Expected, before: Expected, column: str) -> list[tuple[str, Any, Any]]:
    sql = f"select {column}, sum(price) filter ({PURCHASED}) from events group by 1"
    new, old = dict(now.query(sql)), dict(before.query(sql))
    return [(key, new.get(key), old.get(key)) for key in {*new, *old}]


def test_a_customer_has_an_address(page: Page, site: str, rows: Path) -> None:
    """The target of the link in Kibana."""
    customer = oracle(rows).sort("total_events", descending=True).row(0, named=True)
    page.goto(f"{site}/customer/{customer['user_id']}")
    wait_loaded(page, "customer")
    expect(page.locator("#found")).to_contain_text(f"Customer {customer['user_id']}")
    expect(page.locator("#found dl")).to_contain_text(customer["customer_segment"])
    expect(page.locator("#charts")).to_be_hidden()


def test_pipeline_panels_match_the_reports(site: str, stack: Stack) -> None:
    rejected = json.loads((stack.reports / "ingest-latest.json").read_text())["reasons"]
    wanted = {(reason,): float(count) for reason, count in rejected.items()}
    assert points(data(site, "rejected", {}), ("key",)) == wanted
    assert points(lens_rows(stack, "rejected", {}), ("by",)) == wanted
    (run,) = data(site, "runs", {})
    report = json.loads((stack.reports / "process-latest.json").read_text())
    assert run["events"] == report["events_landed"]
    assert run["customers"] == report["profiles_updated"]
    assert data(site, "lag", {}) == []
    assert lens_rows(stack, "lag", {}) == []
    recent = data(site, "recent", {})
    assert sum(row["value"] for row in recent) > 0
    in_kibana = {(row["split"], row["by"]): row["value"] for row in lens_rows(stack, "recent", {})}
    assert in_kibana == {(row["series"], row["time"]): row["value"] for row in recent}


def test_elasticsearch_says_on_which_range_the_dashboards_open(stack: Stack, rows: Path) -> None:
    shown = data_range(stack.processing.elasticsearch_url, stack.environ["ELASTIC_PASSWORD"])
    ((first, last),) = Expected(rows, {}).query("select min(day), max(day) from events")
    assert shown
    assert (shown.since[:10], shown.until[:10]) == (str(first), str(last))


def test_every_panel_is_drawn(page: Page, site: str, rows: Path) -> None:
    open_page(page, site)
    assert page.locator("article").count() == len(PANELS)
    for name, panel in PANELS.items():
        card = page.locator(f"#panel-{name}")
        expect(card.locator("h2")).to_have_text(panel.title)
        if name in EMPTY:
            expect(card.locator(".empty")).to_be_visible()
            expect(card.locator(".empty")).to_have_text(empty_hint(panel))
            continue
        if panel.chart == "metric":
            expect(card.locator(".value")).to_contain_text(re.compile(r"\d"))
            expect(card.locator(".change")).to_contain_text("the 30 before")
            expect(card.locator("svg.spark polyline")).to_have_count(1)
            continue
        check_drawn(page, name)
    customers = oracle(rows).height
    assert f"{customers:,}" in texts(page, "total-customers")
    # A tooltip has its style although the page's policy allows no inline one.
    page.locator("#panel-segments svg g.mark-rect path").first.hover()
    tooltip = page.locator("#vg-tooltip-element")
    expect(tooltip).to_be_visible()
    expect(tooltip).to_have_css("position", "fixed")


def check_drawn(page: Page, name: str) -> None:
    """Check that a chart has data in a picture of some size."""
    card = page.locator(f"#panel-{name}")
    expect(card.locator(".empty")).to_be_hidden()
    marks = card.locator(
        "svg g.mark-rect path, svg g.mark-area path, svg g.mark-line path, svg g.mark-text text"
    )
    assert marks.count() > 0, name
    box = card.locator("svg").bounding_box()
    assert box
    assert box["width"] > 200
    assert box["height"] > 60


def test_a_script_in_the_page_does_not_run(browser: Browser, site: str) -> None:
    """What the page's policy is for: text that became markup by mistake."""
    page = browser.new_page()
    open_page(page, site)
    page.evaluate(
        """() => {
          window.refused = [];
          document.addEventListener("securitypolicyviolation", (event) =>
            window.refused.push(event.effectiveDirective));
          const image = '<img src="x" onerror="window.ran = 1"><p style="color: red">';
          document.getElementById("found").innerHTML = image;
          const script = document.createElement("script");
          script.textContent = "window.ran = 1";
          document.body.append(script);
        }"""
    )
    page.wait_for_function("window.refused.length >= 3")
    assert page.evaluate("window.ran") is None
    assert "script-src-elem" in page.evaluate("window.refused")
    page.close()


def test_filters_work_by_keyboard_and_change_all_numbers(page: Page, site: str, rows: Path) -> None:
    open_page(page, site)
    page.locator("select[name=segment]").focus()
    page.keyboard.type("Conv")
    wait_loaded(page, "segment=Converting+Customer")
    expected = Expected(rows, {"segment": "Converting Customer"})
    ((customers, views),) = expected.query(
        "select (select count(*) from customers), "
        "(select count(*) from events where event_type = 'view')"
    )
    assert f"{customers:,}" in texts(page, "total-customers")
    assert any(text.startswith(f"{views:,} ") for text in texts(page, "funnel"))
    assert "Casual Visitor" not in texts(page, "segments")
    # The address of the page contains the filters.
    page.reload()
    wait_loaded(page, "segment=Converting+Customer")
    assert f"{customers:,}" in texts(page, "total-customers")
    page.get_by_role("button", name="Clear").press("Enter")
    wait_loaded(page)
    assert f"{oracle(rows).height:,}" in texts(page, "total-customers")


def test_searching_a_customer_shows_profile_and_history(page: Page, site: str, rows: Path) -> None:
    profiles = oracle(rows).sort("total_events", descending=True)
    expected = profiles.row(0, named=True)
    open_page(page, site)
    page.get_by_label("Customer id").fill(expected["user_id"])
    page.keyboard.press("Enter")
    card = page.locator("#found")
    expect(card).to_contain_text(f"History: {expected['total_events']} events")
    expect(card).to_contain_text(expected["customer_segment"])
    assert card.locator(".wide tr").count() == 1 + expected["total_events"]
    assert get(site, f"customers/{expected['user_id']}")["profile"]["total_revenue"] == float(
        expected["total_revenue"]
    )
    for user_id in ("1", "..%2fsecret"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(site, f"customers/{user_id}")


def test_an_invalid_request_gets_its_status(site: str) -> None:
    for path, status in (
        ("data/total-customers?since=yesterday", 400),
        ("data/total-customers?x=1", 400),
        (f"data/brands?brand={'x' * 33_000}", 400),
        ("data/brands?since=0001-01-01&until=9999-12-31", 200),
        (f"data/brands?brand={'x' * 8_191}", 200),
        ("data/brands?category=%00&segment=%F0%9F%98%80", 200),
        (f"customers/{'7' * 600}", 404),
        ("data/nothing", 404),
        ("nothing", 404),
    ):
        if status == 200:
            get(site, path)
            continue
        with pytest.raises(urllib.error.HTTPError) as failure:
            get(site, path)
        assert failure.value.code == status
        assert "Elasticsearch" not in json.load(failure.value)["error"]
    # A foreign website whose name resolves to this address must not be able to read profiles.
    connection = http.client.HTTPConnection(site.removeprefix("http://"))
    connection.request("GET", "/choices", headers={"Host": "elsewhere.example"})
    assert connection.getresponse().status == 400


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_on_a_phone(browser: Browser, site: str, scheme: Any) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    open_page(page, site)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for card in page.locator("article svg").all():
        box = card.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) == (scheme == "dark")
    context.close()


def test_a_report_is_self_contained(stack: Stack, browser: Browser, rows: Path) -> None:
    completed = stack.python("customer_profiles.dashboards", "report")
    assert completed.returncode == 0, completed.stdout + completed.stderr
    page = browser.new_page()
    requested_urls: list[str] = []
    page.on("request", lambda request: requested_urls.append(request.url))
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    # Also what the report's policy refuses.
    page.on("console", lambda entry: problems.append(entry.text) if entry.type == "error" else None)
    page.goto((stack.reports / "dashboard.html").as_uri())
    expect(page.locator("#chart-0 svg")).to_contain_text(f"{oracle(rows).height:,}")
    assert len(requested_urls) == 1
    assert not problems
    page.close()
    for name in PANELS:
        assert (stack.reports / "dashboard" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_shows_new_events(
    page: Page, site: str, stack: Stack, rows: Path, tmp_path: Path
) -> None:
    """The tests from here on add events to those that the other tests count."""
    open_page(page, site)
    customers_before = oracle(rows).height
    assert f"{customers_before:,}" in texts(page, "total-customers")
    new_events = make_events(500, 99)
    new_events.write_csv(tmp_path / "more.csv")
    ingest(stack, tmp_path / "more.csv")
    process(stack)
    all_events = pl.concat(
        [pl.read_csv(rows, infer_schema=False), new_events.select(pl.all().cast(pl.String))]
    )
    all_events.write_csv(tmp_path / "both.csv")
    expect(page.locator("#panel-total-customers .value")).to_contain_text(
        f"{oracle(tmp_path / 'both.csv').height:,}"
    )


def test_everything_is_drawn_whatever_the_data_hold(
    page: Page, site: str, stack: Stack, browser: Browser, rows: Path, tmp_path: Path
) -> None:
    """Brands that look like HTML, a character that XML lacks, and two dates far off."""
    brands = ("<!--<script>", "</script>\u2028&amp;", "not in XML \ufffe", "x" * 2_000)
    times = ("0001-01-01 00:00:00 UTC", "2019-10-01 00:00:01 UTC", "2999-12-31 23:59:59 UTC")
    lines = [
        # The busiest brands with the most revenue, so that the charts show their names.
        line(
            brand=brand,
            price=f"{number}000.00",
            event_type="purchase",
            event_time=time,
            user_id="7",
        )
        for brand in brands
        for number in range(1, 301)
        for time in times
    ]
    (tmp_path / "odd.csv").write_text("\n".join([HEADER, *lines]) + "\n", "utf-8")
    assert ingest(stack, tmp_path / "odd.csv")["reasons"] == {}
    process(stack)
    for name in PANELS:
        data(site, name, {})
    assert set(brands) <= {row["key"] for row in data(site, "brands", {})}
    revenue = data(site, "revenue", {})
    assert all(row["value"] for row in revenue)
    days = sorted(day for (day,) in points(revenue, ("time",)))
    assert (days[0], days[-1]) == ("0001-01-01", "2999-12-31")
    open_page(page, site)
    charts = sum(panel.chart != "metric" for panel in PANELS.values())
    assert page.locator("article .chart svg").count() == charts - len(EMPTY)

    completed = stack.python("customer_profiles.dashboards", "report")
    assert completed.returncode == 0, completed.stdout + completed.stderr
    report = browser.new_page()
    problems: list[str] = []
    report.on("pageerror", lambda error: problems.append(str(error)))
    report.goto((stack.reports / "dashboard.html").as_uri())
    expect(report.locator(".chart svg")).to_have_count(len(PANELS) - len(EMPTY))
    expect(report.locator(".empty")).to_have_count(len(EMPTY))
    assert not problems
    report.close()


CHECKS = [
    ("volume", "2020-10-01", 90.0, 100.0, "ok"),
    ("volume", "2020-10-02", 30.0, 120.0, "fail"),
    ("null_share", "2020-10-02", 0.2, 0.1, "warn"),
    ("null_share", "2020-10-03", 0.2, None, "warming_up"),
]
"""Check, day, value, expected value and state."""


def fill_indices(stack: Stack) -> None:
    """Write results, checks and an alert as their own programs do."""
    config = TaskConfig.from_settings(stack.processing).search
    ExperimentIndices(config).write_results(RESULT.experiment, to_documents(RESULT))
    documents = [
        (
            f"{check}|{day}",
            {"time": day, "check": check, "value": value, "expected": expected} | {"state": state},
        )
        for check, day, value, expected, state in CHECKS
    ]
    index_quality(MetricsIndices(config), QUALITY_METRICS, documents)
    alerts = AlertIndex(config)
    alerts.ensure()
    since = "2026-01-02T03:04:05Z"
    states = {"one": "firing", "two": "resolved"}
    alerts.write(
        {"fingerprint": name, "name": name, "severity": "warn"}
        | {"time": since, "since": since, "state": state}
        for name, state in states.items()
    )
    for index in (RESULTS, QUALITY_METRICS, ALERTS):
        search(stack, f"{index}/_refresh", method="POST")


def test_experiments_checks_and_alerts_fill_their_panels(
    page: Page, site: str, stack: Stack, rows: Path
) -> None:
    """The last test: it fills what the others find empty."""
    fill_indices(stack)
    shown = {name: data(site, name, {}) for name in NOT_FILLED}
    assert [row["decision"] for row in shown["experiment-verdicts"]] == ["better"]
    assert {row["role"] for row in shown["experiment-effects"]} == {
        "primary",
        "guardrail",
        "segment",
    }
    assert [row["value"] for row in shown["experiment-looks"]] == [0.25, None]
    assert points(shown["experiment-sample-ratio"], ("key",)) == {
        ("free-shipping: control",): 500.0,
        ("free-shipping: free-shipping",): 510.0,
    }
    assert [row["name"] for row in shown["open-alerts"]] == ["one"]
    assert points(shown["checks-over-time"], ("series", "time")) == {
        ("null_share", "2020-10-02"): 2.0,
        ("volume", "2020-10-01"): 0.9,
        ("volume", "2020-10-02"): 0.25,
    }
    assert points(shown["checks-beyond"], ("series", "time")) == {
        ("null_share", "2020-10-02"): 1.0,
        ("volume", "2020-10-02"): 1.0,
    }
    for name in NOT_FILLED:
        if PANELS[name].measure:
            in_kibana = points(lens_rows(stack, name, {}), ("split", "by"))
            assert in_kibana == points(shown[name], ("series", "key", "time")), name
    assert data(site, "checks-beyond", {"until": "2020-10-01"}) == []
    open_page(page, site)
    for name in NOT_FILLED:
        check_drawn(page, name)
    completed = stack.python("customer_profiles.dashboards", "report")
    assert completed.returncode == 0, completed.stdout + completed.stderr
