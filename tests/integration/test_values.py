"""Whatever ingestion accepts is processed, profiled and shown: values at their limits, fuzzed rows.

Without servers, tests/unit/contracts/test_limits.py and tests/unit/ingestion try the same values.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from kafka import KafkaProducer

from customer_profiles.contracts import RAW_EVENTS, category_root
from customer_profiles.contracts.limits import (
    MAX_KEYWORD_BYTES,
    MAX_SEARCHED_CHARACTERS,
    MAX_SOURCE_ROW,
)
from customer_profiles.dashboards.filters import Filters
from customer_profiles.dashboards.panels import read_panels
from customer_profiles.dashboards.queries import Dashboard
from customer_profiles.dashboards.settings import Settings as DashboardSettings
from customer_profiles.kafka.kafka_python import connection_options
from customer_profiles.search.alert_index import ALERTS
from customer_profiles.search.experiments import RESULTS
from customer_profiles.search.quality_indices import QUALITY_METRICS
from tests.fuzz import make_lines
from tests.integration.conftest import Stack, ingest, lake_profiles, messages, process, search
from tests.limits import AT_LIMIT, HIGHEST_PRICE, LARGEST_ID, ODD_CHARACTERS, limit_lines
from tests.support import HEADER, line

FUZZED_ROWS = 100_000
PRICE = "999999999999.99"
LONG_BRAND = "b" * 40_000
SCRIPT = "<!--<script>&amp;</script>"
NOT_FILLED = {
    panel.name for panel in read_panels() if panel.index in (RESULTS, QUALITY_METRICS, ALERTS)
}
"""Panels of capabilities that nothing here runs: their indices do not exist."""


def purchase(user_id: str, number: int, **changes: str) -> str:
    """Return the line of a purchase at a minute of its own."""
    day, minute = divmod(number, 90)
    time = f"2019-12-{day + 1:02} {minute // 60:02}:{minute % 60:02}:00 UTC"
    return line(**{"event_type": "purchase", "event_time": time, "user_id": user_id, **changes})


CASES = [
    # One day, category and brand whose revenue has more digits than a price.
    *(purchase("910000004", 0, price=PRICE, user_session=f"s{n}") for n in range(101)),
    # Twelve days of one customer, whose revenue has more cents than 64 bits hold.
    *(purchase("910000001", number, price=PRICE) for number in range(1_080)),
    *(purchase("910000005", number, price=HIGHEST_PRICE) for number in range(1_000)),
    line(user_id="910000003", brand=LONG_BRAND),
    line(user_id="920000010", event_time="2999-12-31 23:59:59 UTC"),
    purchase("920000003", 1, brand=SCRIPT, price="1000001.00"),
]


@pytest.fixture(scope="module")
def limits(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Ingest the values at their limits; return the report."""
    path = tmp_path_factory.mktemp("limits") / ("n" * 251 + ".csv")
    path.write_text("\n".join([HEADER, *limit_lines(), *CASES, ""]), "utf-8")
    return ingest(stack, path)


@pytest.fixture(scope="module")
def fuzzed(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Ingest fuzzed rows; return the report."""
    path = tmp_path_factory.mktemp("fuzz") / "events.csv"
    lines = make_lines(random.Random(1), FUZZED_ROWS)  # noqa: S311
    path.write_bytes(HEADER.encode() + b"\n" + lines)
    return ingest(stack, path, MAX_REJECTED_PERCENT="100")


@pytest.fixture(scope="module")
def processed(
    stack: Stack, limits: dict[str, Any], fuzzed: dict[str, Any]
) -> Mapping[str, dict[str, Any]]:
    """Process all of them, and messages of another program; return the profiles by customer."""
    template = json.loads(messages(stack, RAW_EVENTS.name)[-1].value)
    producer = KafkaProducer(**connection_options(stack.ingestion.kafka))
    for number in (MAX_SOURCE_ROW, MAX_SOURCE_ROW + 1):
        message = {**template, "source_row": number}
        producer.send(RAW_EVENTS.name, json.dumps(message).encode(), partition=0)
    producer.flush()
    producer.close()
    report = process(stack)
    assert report["events_landed"] == limits["accepted"] + fuzzed["accepted"] + 1
    assert report["misfits"] == 1
    assert not report.get("failed_buckets")
    profiles = pl.from_pandas(lake_profiles(stack))
    assert profiles["total_events"].sum() == report["events"]
    assert profiles.height == report["customers"]
    assert report["profiles_indexed"] == report["profiles_updated"]
    assert search(stack, "customer_profiles/_count")["count"] == profiles.height
    return {row["user_id"]: row for row in profiles.iter_rows(named=True)}


@pytest.fixture(scope="module")
def dashboard(stack: Stack) -> Dashboard:
    return Dashboard(DashboardSettings.from_env(stack.environ))


def document(stack: Stack, user_id: str) -> dict[str, Any]:
    source: dict[str, Any] = search(stack, f"customer_profiles/_doc/{user_id}")["_source"]
    return source


def found(stack: Stack, field: str, text: str) -> set[str]:
    """Return the customers that a search for a text finds."""
    hits = search(stack, "customer_profiles/_search", {"query": {"term": {field: text}}})["hits"]
    return {hit["_id"] for hit in hits["hits"]}


def test_every_row_at_a_limit_is_accepted_and_every_fuzzed_row_accounted_for(
    limits: dict[str, Any], fuzzed: dict[str, Any]
) -> None:
    assert (limits["reasons"], limits["duplicates"]) == ({}, 0)
    assert limits["accepted"] == limits["read"] == len(limit_lines()) + len(CASES)
    assert fuzzed["read"] == fuzzed["accepted"] + fuzzed["dead_lettered"] + fuzzed["duplicates"]
    # Carriage returns cut some lines in two, and some lines are blank.
    assert fuzzed["read"] == pytest.approx(FUZZED_ROWS, rel=0.01)
    assert fuzzed["accepted"] > 0.3 * FUZZED_ROWS
    assert fuzzed["dead_lettered"] > 0.3 * FUZZED_ROWS


@pytest.mark.parametrize(
    ("user_id", "revenue", "average"),
    [
        ("910000004", "100999999999998.99", PRICE),
        ("910000001", "1079999999999989.20", PRICE),
        # Rounded to the cent.
        ("910000005", "999999999999999.90", "1000000000000.00"),
    ],
)
def test_sums_and_averages_are_exact(
    stack: Stack, processed: Mapping[str, dict[str, Any]], user_id: str, revenue: str, average: str
) -> None:
    profile = processed[user_id]
    assert profile["total_revenue"] == Decimal(revenue)
    assert profile["avg_order_value"] == Decimal(average)
    assert profile["customer_segment"] == "High Value"
    assert document(stack, user_id)["total_revenue"] == float(revenue)


def test_ids_texts_and_times_at_their_limits_are_the_same_in_lake_and_index(
    stack: Stack, processed: Mapping[str, dict[str, Any]]
) -> None:
    for user_id in (LARGEST_ID, "0"):
        assert processed[user_id]["total_events"] >= 1
        assert document(stack, user_id)["user_id"] == user_id
    usual = processed[line().split(",")[7]]
    assert usual["first_seen"] == datetime(1, 1, 1, tzinfo=UTC)
    assert usual["last_seen"] == datetime.max.replace(tzinfo=UTC)
    assert document(stack, usual["user_id"])["last_seen"] == "9999-12-31T23:59:59.999999Z"
    # A text that is too long to be searched is stored, and other texts are found.
    for user_id, brand in (("910000003", LONG_BRAND), ("920000003", SCRIPT)):
        assert processed[user_id]["favorite_brand"] == brand
        assert document(stack, user_id)["favorite_brand"] == brand
    assert found(stack, "favorite_brand", LONG_BRAND[: MAX_SEARCHED_CHARACTERS + 1]) == set()
    assert found(stack, "favorite_brand", SCRIPT) == {"920000003"}


def test_counts_name_categories_of_every_length_and_character(
    stack: Stack, processed: Mapping[str, dict[str, Any]]
) -> None:
    assert processed
    rows = [row for rows in AT_LIMIT.values() for row in rows]
    codes = [row["category_code"] for row in rows if "category_code" in row]
    search(stack, "event_metrics/_refresh")
    for root in map(category_root, codes):
        assert root
        if len(root.encode()) > MAX_KEYWORD_BYTES:
            continue  # Elasticsearch refuses to search for it.
        body = {"query": {"bool": {"filter": [{"term": {"category": root}}]}}}
        count = search(stack, "event_metrics/_count", body)["count"]
        units = len(root.encode("utf-16-le")) // 2
        assert (count > 0) == (units <= MAX_SEARCHED_CHARACTERS), (root[0], len(root))
    assert f"<{ODD_CHARACTERS}>" in codes


@pytest.mark.parametrize(
    "filters",
    [
        Filters(),
        Filters(brand="(none)", segment="High Value"),
        Filters(brand=SCRIPT, category=f"<{ODD_CHARACTERS}>"),
        Filters(since=datetime(1, 1, 1).date(), until=datetime(9999, 12, 31).date()),
    ],
    ids=["all", "none", "odd", "all times"],
)
@pytest.mark.usefixtures("processed")
def test_every_panel_answers(dashboard: Dashboard, filters: Filters) -> None:
    answers = {panel.name: dashboard.rows(panel, filters) for panel in read_panels()}
    if filters == Filters():
        empty = {name for name, rows in answers.items() if not rows}
        assert empty <= {"lag", *NOT_FILLED}
    json.dumps(answers, allow_nan=False)


def test_the_page_finds_customers_and_shows_the_minutes_of_today(
    dashboard: Dashboard, processed: Mapping[str, dict[str, Any]]
) -> None:
    for user_id in (LARGEST_ID, "910000003", "910000001"):
        customer = dashboard.customer(user_id)
        assert customer
        assert customer["all_events"] == processed[user_id]["total_events"]
        json.dumps(customer, allow_nan=False)
    panel = dashboard.panel("recent")
    assert panel
    limit_ms = (datetime.now(UTC).timestamp() + 86_400) * 1_000
    minutes = dashboard.rows(panel, Filters())
    assert minutes
    assert all(minute["time"] < limit_ms for minute in minutes)


@pytest.mark.usefixtures("processed")
def test_summary_and_dead_letters_are_shown(stack: Stack) -> None:
    for module, command in (("processing", "summary"), ("ingestion", "dead-letters")):
        completed = stack.python(f"customer_profiles.{module}", command)
        assert completed.returncode == 0, completed.stdout + completed.stderr
        assert "Traceback" not in completed.stderr
        assert "\x1b" not in completed.stdout
