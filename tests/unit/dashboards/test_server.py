"""The responses of the dashboard page, with a fake dashboard in place of servers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

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
        return [{"panel": panel.name, "brand": filters.brand}]

    def customer(self, user_id: str) -> dict[str, Any] | None:
        return {"profile": {"user_id": user_id}} if user_id == "7" else None


APP = create_app(FakeDashboard())  # type: ignore[arg-type]


def get(path: str, query: str = "", host: str = "127.0.0.1:8050") -> tuple[int, bytes]:
    """Send one request to the page and return its status and its body."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"host", host.encode())],
    }
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        messages.append(message)

    asyncio.run(APP(scope, receive, send))
    return messages[0]["status"], b"".join(message.get("body", b"") for message in messages[1:])


def test_a_panel_returns_its_rows_filtered_by_the_query_string() -> None:
    status, body = get("/data/overview", "brand=apple&segment=")
    assert status == 200
    assert json.loads(body) == [{"panel": "overview", "brand": "apple"}]
    assert json.loads(get("/choices")[1]) == {"brand": ["apple"]}
    assert json.loads(get("/customers/7")[1]) == {"profile": {"user_id": "7"}}


@pytest.mark.parametrize("path", ["/", "/app.js", "/style.css", "/vega.js"])
def test_the_page_serves_all_of_its_files(path: str) -> None:
    status, body = get(path)
    assert status == 200
    assert body


@pytest.mark.parametrize(
    ("path", "query", "status", "message"),
    [
        ("/data/overview", "since=yesterday", 400, "since=yesterday is no day"),
        ("/data/overview", "x=1", 400, "there is no filter x"),
        ("/data/nothing", "", 404, "There is no such panel"),
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
    assert message in body.decode()


def test_a_request_with_a_foreign_host_name_is_refused() -> None:
    assert get("/choices", host="elsewhere.example")[0] == 400
