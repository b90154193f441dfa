"""Health and metrics of the page."""

from __future__ import annotations

import json

from prometheus_client.parser import text_string_to_metric_families

from customer_profiles.dashboards.health import route_of
from tests.unit.dashboards.test_server import get


def test_the_page_says_that_it_lives_and_that_it_is_ready() -> None:
    for path in ("/health/live", "/health/ready"):
        status, body = get(path)
        assert (status, json.loads(body)) == (200, {"status": "ok"})


def test_requests_are_counted_by_route_and_never_by_customer() -> None:
    get("/customers/7")
    get("/no-such-path-1234")
    status, body = get("/metrics")
    assert status == 200
    text = body.decode()
    assert "1234" not in text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    routes = {
        sample.labels["route"] for sample in families["customer_profiles_page_requests"].samples
    }
    assert {"/customers/", "/"} <= routes
    assert route_of("/customers/1515915625519388267") == "/customers/"
    assert route_of("/data/revenue") == "/data/"
    assert route_of("/a/b/c") == "/"
