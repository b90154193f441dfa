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
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from customer_profiles.dashboards.data_range import ask_time_range
from customer_profiles.dashboards.kibana import import_objects
from customer_profiles.dashboards.panels import read_panels
from customer_profiles.dashboards.saved_objects import saved_objects, to_ndjson
from scripts.screenshots import browser_options

KIBANA_URL = os.environ.get("KIBANA_URL", "").rstrip("/")
PASSWORD = os.environ.get("ELASTIC_PASSWORD", "")
ELASTICSEARCH_URL = os.environ.get("ELASTICSEARCH_URL", "http://127.0.0.1:9200")
WAIT_MS = 60_000
PANEL = "[data-test-subj=embeddablePanel]"
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
    if PASSWORD:
        page.goto(f"{KIBANA_URL}/login")
        page.locator("[data-test-subj=loginUsername]").fill("elastic")
        page.locator("[data-test-subj=loginPassword]").fill(PASSWORD)
        page.locator("[data-test-subj=loginSubmit]").click()
        page.wait_for_url(lambda url: "/login" not in url)
    yield page
    page.close()


def open_dashboard(page: Page, name: str) -> None:
    page.goto(f"{KIBANA_URL}/app/dashboards#/view/customer-profiles-{name}")
    wait_drawn(page, name)


DRAWN = """count => {
  const panels = [...document.querySelectorAll('[data-test-subj="embeddablePanel"]')];
  const draws = '[data-loading], [data-render-complete="false"]';
  return panels.length === count && panels.every((panel) =>
    !panel.matches(draws) && !panel.querySelector(draws)
    && (panel.matches('[data-render-complete]') || panel.querySelector('[data-render-complete]')));
}"""
"""Whether all panels say that they have drawn. A panel says it itself or has a part that does."""


def wait_drawn(page: Page, name: str) -> None:
    """Wait until every panel says that it has drawn, and check that none shows an error."""
    # One more has the explanations.
    count = 1 + sum(panel.dashboard == name for panel in PANELS.values())
    page.wait_for_function(DRAWN, arg=count, timeout=WAIT_MS)
    failed = page.locator(f"{PANEL}[data-error], {PANEL} [data-test-subj=embeddable-lens-failure]")
    expect(failed).to_have_count(0)


def panel_of(page: Page, name: str) -> Locator:
    """Return a panel by the heading that Kibana gives it."""
    heading = re.sub(r"\s", "", PANELS[name].title)
    has = page.locator(f'[data-test-subj="embeddablePanelHeading-{heading}"]')
    return page.locator(PANEL).filter(has=has)


def panel(page: Page, name: str) -> str:
    """Return the text of a panel."""
    return panel_of(page, name).inner_text()


def wait_changed(page: Page, name: str, before: float) -> float:
    """Wait until a metric shows another number than before; return it."""
    shown = panel_of(page, name)
    expect(shown).not_to_contain_text(f"{before:,.0f}", timeout=WAIT_MS)
    wait_drawn(page, PANELS[name].dashboard)
    return number(shown.inner_text())


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
    control = page.locator('[data-test-subj^="optionsList-control-"]').first
    control.click()
    page.locator('[data-test-subj="optionsList-control-selection-Converting Customer"]').click()
    # Escape would need the focus, so the control closes its list.
    control.click()
    buyers = wait_changed(page, "total-customers", everybody)
    assert 0 < buyers < everybody
    # Every customer of that segment has bought.
    assert number(panel(page, "conversion")) == 100
    for shown in PANELS.values():
        if shown.dashboard == "customers":
            assert "No results" not in panel(page, shown.name), shown.name


def test_a_click_on_a_bar_makes_a_filter(page: Page) -> None:
    open_dashboard(page, "customers")
    everybody = number(panel(page, "total-customers"))
    chart = panel_of(page, "segments").locator("canvas").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box
    # The longest bar is the first, and begins beside the names. Other layers lie on the canvas, and
    # the chart follows the pointer before it takes a click.
    x, y = box["x"] + box["width"] * 0.45, box["y"] + box["height"] * 0.08
    page.mouse.move(x - 10, y)
    page.mouse.move(x, y, steps=5)
    page.mouse.click(x, y)
    expect(page.locator('[data-test-subj*="filter-key-customer_segment"]')).to_be_visible()
    assert 0 < wait_changed(page, "total-customers", everybody) < everybody
