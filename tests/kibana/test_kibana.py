"""The dashboards in a real Kibana: each panel draws, and a click and a control filter all of them.

`KIBANA_URL` names a Kibana over the data of this project, with the saved objects imported, and
`ELASTIC_PASSWORD` the password of `elastic`. The workflow runs this test with the official images,
which no package registry has.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from customer_profiles.dashboards.data_range import ask_time_range
from customer_profiles.dashboards.kibana import import_objects
from customer_profiles.dashboards.panels import read_panels
from customer_profiles.dashboards.saved_objects import saved_objects, to_ndjson
from scripts.screenshots import browser_options

KIBANA_URL = os.environ.get("KIBANA_URL", "").rstrip("/")
PASSWORD = os.environ.get("ELASTIC_PASSWORD", "")
ELASTICSEARCH_URL = os.environ.get("ELASTICSEARCH_URL", "http://127.0.0.1:9200")
WAIT_MS = 60_000
PANELS = {panel.name: panel for panel in read_panels()}

pytestmark = pytest.mark.skipif(
    not KIBANA_URL, reason="KIBANA_URL names no Kibana; the workflow starts one for this test"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(**browser_options())
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1600, "height": 4000})
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{KIBANA_URL}/login")
    if page.locator("[data-test-subj=loginUsername]").count():
        page.locator("[data-test-subj=loginUsername]").fill("elastic")
        page.locator("[data-test-subj=loginPassword]").fill(PASSWORD)
        page.locator("[data-test-subj=loginSubmit]").click()
        page.wait_for_url(re.compile("(?!.*/login)"))
    yield page
    page.close()


def open_dashboard(page: Page, name: str) -> None:
    page.goto(f"{KIBANA_URL}/app/dashboards#/view/customer-profiles-{name}")
    wait_drawn(page, name)


def wait_drawn(page: Page, name: str) -> None:
    """Wait until every panel says that it has drawn."""
    count = 1 + sum(panel.dashboard == name for panel in PANELS.values())
    panels = page.locator("[data-test-subj=embeddablePanel]")
    expect(panels).to_have_count(count, timeout=WAIT_MS)
    pending = page.locator("[data-test-subj=embeddablePanel] [data-render-complete=false]")
    expect(pending).to_have_count(0, timeout=WAIT_MS)
    expect(page.locator("[data-test-subj=embeddableError]")).to_have_count(0)


def panel(page: Page, name: str) -> str:
    """Return the text of a panel."""
    title = re.compile(f"^{re.escape(PANELS[name].title)}")
    found = page.locator("[data-test-subj=embeddablePanel]").filter(has=page.get_by_text(title))
    return found.first.inner_text()


def number(text: str) -> float:
    """Return the last number of a metric's text."""
    return float(re.findall(r"[\d,]+(?:\.\d+)?", text)[-1].replace(",", ""))


def test_an_import_again_is_accepted() -> None:
    time_range = ask_time_range(ELASTICSEARCH_URL, PASSWORD, datetime.now(UTC))
    for _ in range(2):
        assert import_objects(KIBANA_URL, PASSWORD, to_ndjson(time_range)) == len(saved_objects())


@pytest.mark.parametrize("name", ["customers", "pipeline"])
def test_every_panel_draws(page: Page, name: str) -> None:
    open_dashboard(page, name)
    for shown in PANELS.values():
        # There is no stream, so there is no lag to draw.
        if shown.dashboard == name and shown.name != "lag":
            assert "No results" not in panel(page, shown.name), shown.name


def test_a_control_filters_every_number(page: Page) -> None:
    open_dashboard(page, "customers")
    everybody = number(panel(page, "total-customers"))
    page.locator("[data-test-subj^=optionsList-control]").first.click()
    page.get_by_role("option", name=re.compile("Converting Customer")).click()
    page.keyboard.press("Escape")
    wait_drawn(page, "customers")
    buyers = number(panel(page, "total-customers"))
    assert 0 < buyers < everybody
    # Every customer of that segment has bought.
    assert number(panel(page, "conversion")) == 100
    for shown in PANELS.values():
        if shown.dashboard == "customers":
            assert "No results" not in panel(page, shown.name), shown.name


def test_a_click_on_a_bar_makes_a_filter(page: Page) -> None:
    open_dashboard(page, "customers")
    everybody = number(panel(page, "total-customers"))
    title = PANELS["segments"].title
    chart = (
        page.locator("[data-test-subj=embeddablePanel]")
        .filter(has=page.get_by_text(title))
        .locator("canvas")
        .first
    )
    box = chart.bounding_box()
    assert box
    # The longest bar is the first, and begins beside the names.
    chart.click(position={"x": box["width"] * 0.45, "y": box["height"] * 0.08})
    expect(page.locator("[data-test-subj*=filter-key-customer_segment]")).to_be_visible()
    wait_drawn(page, "customers")
    assert 0 < number(panel(page, "total-customers")) < everybody
