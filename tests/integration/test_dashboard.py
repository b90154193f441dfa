"""The page in a real browser, on real servers, shows the numbers that DuckDB computes."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from customer_profiles.dashboards.panels import read_panels
from scripts.make_sample import make_events
from scripts.screenshots import browser_options
from tests.integration.conftest import Stack, ingest, process, running
from tests.support import HEADER, ROOT, line, oracle

WAIT_S = 60
PANELS = {panel.name: panel for panel in read_panels()}
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
    return [text for text in page.locator(f"#panel-{panel} svg text").all_text_contents() if text]


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
            f"create table customers as select * from profiles where last_seen::date {span} "
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


@pytest.mark.parametrize(
    "filters", FILTERS, ids=lambda filters: urllib.parse.urlencode(filters) or "all"
)
def test_every_number_matches_the_rows(site: str, rows: Path, filters: dict[str, str]) -> None:
    if filters.get("brand") == "(none)":
        # Event counts combine all but the top brands into "(other)", which is not a filter.
        assert set(get(site, "choices")["brand"]) > {"(none)"}
    expected = Expected(rows, filters)
    (overview,) = data(site, "overview", filters)
    customers, revenue, purchases, buyers = expected.query(
        "select count(*), coalesce(sum(total_revenue), 0)::double, "
        "coalesce(sum(total_purchases), 0)::int, "
        "count(*) filter (total_purchases > 0) from customers"
    )[0]
    assert customers > 0
    assert overview["customers"]["value"] == customers
    assert round(overview["revenue"]["value"], 2) == round(revenue, 2)
    assert overview["purchases"]["value"] == purchases
    assert overview["buyers"]["doc_count"] == buyers

    events_by_type = {
        row["key"]: int(row["events"]["value"]) for row in data(site, "funnel", filters)
    }
    assert events_by_type == dict(
        expected.query(
            "select event_type, count(*) from events "
            "where event_type <> 'remove_from_cart' group by 1"
        )
    )
    by_segment = (
        "select customer_segment, count(*), sum(total_revenue)::double from customers group by 1"
    )
    for panel in ("segments", "segment-revenue"):
        displayed = {
            (row["key"], row["doc_count"], round(row["revenue"]["value"], 2))
            for row in data(site, panel, filters)
        }
        assert displayed == {
            (name, count, round(value, 2)) for name, count, value in expected.query(by_segment)
        }

    revenue_days = {
        row["key_as_string"][:10]: round(row["revenue"]["value"], 2)
        for row in data(site, "revenue", filters)
        if row["doc_count"]
    }
    assert revenue_days == {
        str(day): round(value, 2)
        for day, value in expected.query(
            "select day, sum(price)::double from events where event_type = 'purchase' group by 1"
        )
    }
    event_days = {
        (event_type["key"], day["key_as_string"][:10]): int(day["events"]["value"])
        for event_type in data(site, "events", filters)
        for day in event_type["days"]["buckets"]
        if day["doc_count"]
    }
    assert event_days == {
        (event_type, str(day)): count
        for event_type, day, count in expected.query(
            "select event_type, day, count(*) from events group by all"
        )
    }
    revenue_sql = "sum(case when event_type = 'purchase' then price else 0 end)::double"
    for panel, column in (("categories", "category"), ("brands", "brand")):
        displayed = {
            row["key"]: (int(row["events"]["value"]), row["revenue"]["value"])
            for row in data(site, panel, filters)
        }
        expected_rows = {
            key: (count, value)
            for key, count, value in expected.query(
                f"select {column}, count(*), {revenue_sql} from events group by 1"
            )
        }
        displayed.pop("(other)", None)
        assert displayed
        assert displayed == {key: pytest.approx(expected_rows[key]) for key in displayed}
    returning = {
        row["key_as_string"][:10]: (row["doc_count"], row["back"]["doc_count"])
        for row in data(site, "returning", filters)
        if row["doc_count"]
    }
    assert returning == {
        str(day): (count, came_back)
        for day, count, came_back in expected.query(
            "select first_seen::date, count(*), count(*) filter (days_active >= 2) "
            "from customers group by 1"
        )
    }
    top_customers = [
        (row["_source"]["user_id"], row["_source"]["total_revenue"])
        for row in data(site, "best", filters)
    ]
    assert top_customers == expected.query(
        "select user_id, total_revenue::double from customers where total_revenue > 0 "
        "order by total_revenue desc, user_id limit 10"
    )


def test_pipeline_panels_match_the_reports(site: str, stack: Stack) -> None:
    rejected = json.loads((stack.reports / "ingest-latest.json").read_text())["reasons"]
    assert {row["key"]: int(row["rows"]["value"]) for row in data(site, "rejected", {})} == rejected
    (run,) = data(site, "runs", {})
    report = json.loads((stack.reports / "process-latest.json").read_text())
    assert run["_source"]["events"] == report["events_landed"]
    assert run["_source"]["customers"] == report["profiles_updated"]
    assert data(site, "lag", {}) == []
    recent = data(site, "recent", {})
    assert (
        sum(
            int(minute["events"]["value"])
            for event_type in recent
            for minute in event_type["minutes"]["buckets"]
        )
        > 0
    )


def test_every_panel_is_drawn(page: Page, site: str, rows: Path) -> None:
    open_page(page, site)
    assert page.locator("article").count() == len(PANELS)
    for name, panel in PANELS.items():
        card = page.locator(f"#panel-{name}")
        expect(card.locator("h2")).to_have_text(panel.title)
        if name == "lag":
            expect(card.locator(".empty")).to_be_visible()
            continue
        expect(card.locator(".empty")).to_be_hidden()
        marks = card.locator(
            "svg g.mark-rect path, svg g.mark-area path, svg g.mark-line path, svg g.mark-text text"
        )
        assert marks.count() > 0, name
        box = card.locator("svg").bounding_box()
        assert box
        assert box["width"] > 200
        assert box["height"] > 100
    customers = oracle(rows).height
    assert f"{customers:,}" in texts(page, "overview")
    # A tooltip has its style although the page's policy allows no inline one.
    page.locator("#panel-segments svg g.mark-rect path").first.hover()
    tooltip = page.locator("#vg-tooltip-element")
    expect(tooltip).to_be_visible()
    expect(tooltip).to_have_css("position", "fixed")


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
    assert f"{customers:,}" in texts(page, "overview")
    assert any(text.startswith(f"{views:,} ") for text in texts(page, "funnel"))
    assert "Casual Visitor" not in texts(page, "segments")
    # The address of the page contains the filters.
    page.reload()
    wait_loaded(page, "segment=Converting+Customer")
    assert f"{customers:,}" in texts(page, "overview")
    page.get_by_role("button", name="Clear").press("Enter")
    wait_loaded(page)
    assert f"{oracle(rows).height:,}" in texts(page, "overview")


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
        ("data/overview?since=yesterday", 400),
        ("data/overview?x=1", 400),
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
    assert f"{customers_before:,}" in texts(page, "overview")
    new_events = make_events(500, 99)
    new_events.write_csv(tmp_path / "more.csv")
    ingest(stack, tmp_path / "more.csv")
    process(stack)
    all_events = pl.concat(
        [pl.read_csv(rows, infer_schema=False), new_events.select(pl.all().cast(pl.String))]
    )
    all_events.write_csv(tmp_path / "both.csv")
    expect(page.locator("#panel-overview svg")).to_contain_text(
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
    assert all(row["doc_count"] for row in revenue)
    days = [row["key_as_string"][:10] for row in revenue]
    assert (days[0], days[-1]) == ("0001-01-01", "2999-12-31")
    open_page(page, site)
    assert page.locator("article .chart svg").count() == len(PANELS) - 1

    completed = stack.python("customer_profiles.dashboards", "report")
    assert completed.returncode == 0, completed.stdout + completed.stderr
    report = browser.new_page()
    problems: list[str] = []
    report.on("pageerror", lambda error: problems.append(str(error)))
    report.goto((stack.reports / "dashboard.html").as_uri())
    expect(report.locator(".chart svg")).to_have_count(len(PANELS))
    assert not problems
    report.close()
