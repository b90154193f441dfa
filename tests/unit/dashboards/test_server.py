"""The responses of the dashboard page, with a fake dashboard in place of servers."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from starlette.types import Message

from customer_profiles.dashboards.filters import Filters
from customer_profiles.dashboards.panels import Panel, read_panels
from customer_profiles.dashboards.server import create_app
from customer_profiles.search.errors import IndexUnavailableError


class FakeDashboard:
    """Knows one customer, and fails for one panel as if Elasticsearch were down."""

    def panel(self, name: str) -> Panel | None:
        return next((panel for panel in read_panels() if panel.name == name), None)

    def panels(self) -> list[dict[str, Any]]:
        return []

    def choices(self) -> dict[str, Any]:
        return {"brand": ["apple"]}

    def rows(self, panel: Panel, filters: Filters) -> list[Any]:
        if panel.name == "lag":
            raise IndexUnavailableError("Elasticsearch does not answer. Run `make up`.")
        if panel.name == "runs":
            raise ZeroDivisionError("a fault")
        return [{"panel": panel.name, "brand": filters.brand}]

    def customer(self, user_id: str) -> dict[str, Any] | None:
        # As Elasticsearch, which takes ids of at most 512 bytes.
        assert len(user_id) <= 512
        return {"profile": {"user_id": user_id}} if user_id == "7" else None


APP = create_app(FakeDashboard())  # type: ignore[arg-type]


def get(path: str, query: str = "", host: str = "127.0.0.1:8050") -> tuple[int, bytes]:
    """Send one request to the page and return its status and its body."""
    status, _, body = send("GET", path, query, host)
    return status, body


def send(
    method: str, path: str, query: str = "", host: str = "127.0.0.1:8050"
) -> tuple[int, dict[str, str], bytes]:
    """Send one request to the page and return its status, its headers and its body."""
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"host", host.encode())],
    }
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        messages.append(message)

    # Starlette answers a fault and raises it again, for the log.
    with suppress(ZeroDivisionError):
        asyncio.run(APP(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
    body = b"".join(message.get("body", b"") for message in messages[1:])
    return messages[0]["status"], headers, body


def test_a_panel_returns_its_rows_filtered_by_the_query_string() -> None:
    status, body = get("/data/total-customers", "brand=apple&segment=")
    assert status == 200
    assert json.loads(body) == [{"panel": "total-customers", "brand": "apple"}]
    assert json.loads(get("/choices")[1]) == {"brand": ["apple"]}
    assert json.loads(get("/customers/7")[1]) == {"profile": {"user_id": "7"}}


@pytest.mark.parametrize(
    "path", ["/", "/app.js", "/summary.js", "/customer.js", "/style.css", "/vega.js", "/customer/7"]
)
def test_the_page_serves_all_of_its_files(path: str) -> None:
    status, body = get(path)
    assert status == 200
    assert body


@pytest.mark.parametrize(
    ("path", "query", "status", "message"),
    [
        ("/data/total-customers", "since=yesterday", 400, "since=yesterday is no day"),
        ("/data/total-customers", "x=1", 400, "there is no filter x"),
        ("/data/total-customers", "x" * 40_000, 400, "there is no filter xxx"),
        ("/data/total-customers", "brand=" + "x" * 33_000, 400, "brand has 33,000 characters"),
        (
            "/data/total-customers",
            "category=" + "%C3%A9" * 8_192,
            400,
            "category has 8,192 characters",
        ),
        ("/data/total-customers", "segment=" + "%00" * 9_000, 400, "segment has 9,000 characters"),
        ("/data/total-customers", "brand=a&brand=b", 400, "brand is there twice"),
        ("/data/total-customers", "since=2020-02-30", 400, "since=2020-02-30 is no day"),
        ("/data/total-customers", "until=" + "9" * 40_000, 400, "is no day"),
        ("/data/total-customers", "since=10000-01-01", 400, "is no day"),
        ("/data/total-customers", "until=-0001-01-01", 400, "is no day"),
        ("/data/total-customers", "since=%EF%BC%92020-01-01", 400, "is no day"),
        ("/data/total-customers", "since=2020-01-01T00:00:00||-1d", 400, "is no day"),
        ("/data/nothing", "", 404, "There is no such panel"),
        ("/data/" + "x" * 40_000, "", 404, "There is no such panel"),
        ("/data/total-customers/x", "", 404, "There is nothing here"),
        ("/customers/" + "7" * 40_000, "", 404, "There is no customer 777"),
        ("/customers/seven", "", 404, "There is no customer seven"),
        ("/customers/\u0667", "", 404, "There is no customer"),
        ("/customers/7\n", "", 404, "There is no customer"),
        ("/customers/7/8", "", 404, "There is nothing here"),
        ("/data/runs", "", 500, "`make dashboard` shows it"),
        ("/customers/8", "", 404, "There is no customer 8"),
        ("/nothing", "", 404, "There is nothing here"),
        ("/data/lag", "", 503, "Run `make up`"),
    ],
)
def test_an_error_has_a_status_and_a_message(
    path: str, query: str, status: int, message: str
) -> None:
    actual, body = get(path, query)
    assert actual == status
    error = json.loads(body)["error"]
    assert message in error
    # What came with the request is not sent back at length.
    assert len(error) < 200


def test_the_longest_text_that_can_be_found_is_a_filter() -> None:
    # Elasticsearch counts units of UTF-16, and this character has two.
    brand = "\U0001f600" * 4_095
    status, body = get("/data/total-customers", f"brand={quote(brand)}")
    assert status == 200
    assert json.loads(body) == [{"panel": "total-customers", "brand": brand}]
    assert get("/data/total-customers", f"brand={quote(brand + brand[0])}")[0] == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X" * 10_000])
@pytest.mark.parametrize("path", ["/", "/choices", "/data/total-customers", "/customers/7"])
def test_only_reading_is_allowed(method: str, path: str) -> None:
    status, headers, body = send(method, path)
    assert status == 405
    assert "GET" in headers["allow"]
    assert json.loads(body)["error"].startswith("The page only reads: send GET instead of ")
    assert len(body) < 200
    assert send("HEAD", path)[0] == 200


@pytest.mark.parametrize(
    ("path", "status", "storage"),
    [
        ("/", 200, "no-cache"),
        ("/vega.js", 200, "no-cache"),
        # Profiles are personal data.
        ("/choices", 200, "no-store"),
        ("/customers/7", 200, "no-store"),
        ("/customers/8", 404, "no-store"),
        ("/nothing", 404, "no-store"),
        ("/data/lag", 503, "no-store"),
        ("/data/runs", 500, "no-store"),
    ],
)
def test_every_response_tells_the_browser_what_it_may_do(
    path: str, status: int, storage: str
) -> None:
    actual, headers, _ = send("GET", path)
    assert actual == status
    assert headers["cache-control"] == storage
    assert_safe(headers)


def test_a_refused_host_gets_the_headers_too() -> None:
    status, headers, _ = send("GET", "/choices", host="elsewhere.example")
    assert status == 400
    assert_safe(headers)
    assert_safe(send("POST", "/choices")[1])


def assert_safe(headers: dict[str, str]) -> None:
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"


def test_the_page_has_nothing_inline_that_its_policy_refuses() -> None:
    page = get("/")[1].decode()
    script = get("/app.js")[1].decode()
    assert re.findall(r"<script[^>]*>", page) == re.findall(r"<script[^>]* src=[^>]*>", page)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page + script)
    # Vega compiles no expression, and adds no style of its own.
    assert "ast: true, defaultStyle: false" in script
    assert "disableDefaultStyle: true" in script


def test_a_request_with_a_foreign_host_name_is_refused() -> None:
    assert get("/choices", host="elsewhere.example")[0] == 400
