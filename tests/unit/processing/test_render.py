"""What the commands print for people."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from customer_profiles.lake.gaps import REDRIVEN
from customer_profiles.processing.render import (
    gap_lines,
    micro_batch_line,
    print_best_customers,
    print_next_steps,
    print_run,
    summary,
)
from customer_profiles.processing.report import MicroBatch, RunReport


class Screen:
    """A console whose text can be read."""

    def __init__(self) -> None:
        self._file = io.StringIO()
        self.console = Console(file=self._file, width=150, color_system=None)

    @property
    def text(self) -> str:
        return self._file.getvalue()

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.text.splitlines()]


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (None, "The next run of `make process` says which sources they came from."),
        ([], "No ingested source lacks rows, so another program has sent these messages."),
        (
            [{"source": "a\x1b]0;x.csv", "rows": 1_000, "missing": 1_000}],
            "`make ingest` of these sources sends them again; then run `make process`.",
        ),
        (
            [{"source": REDRIVEN, "rows": 9, "missing": 2}],
            "`make redrive` sends these rows again; then run `make process`.",
        ),
        (
            [
                {"source": "a\x1b]0;x.csv", "rows": 1_000, "missing": 1_000},
                {"source": REDRIVEN, "rows": 9, "missing": 2},
            ],
            "`make redrive`, and `make ingest` of the sources, send them again; then run "
            "`make process`.",
        ),
    ],
)
def test_a_gap_comes_with_what_to_do(sources: list[dict[str, Any]] | None, expected: str) -> None:
    gap = {
        "partition": 1,
        "first_offset": 1_000,
        "last_offset": None,
        "topic_id": "t1",
        "found_at": "2020-09-24T11:57:06+00:00",
        "sources": sources,
        "closed_at": None,
    }
    lines = gap_lines([gap])
    assert lines[1] == "  offsets from 1,000 on of partition 1, found 2020-09-24T11:57:06+00:00"
    assert lines[-2:] == [expected, "`make process ACCEPT_GAPS=1` gives up what is missing."]
    if sources and sources[0]["source"] != REDRIVEN:
        # Names of sources are foreign text, which a terminal must not obey.
        assert lines[2] == r"  a\x1b]0;x.csv: 1,000 of its rows are not in the lake"
    assert gap_lines([]) == []


def test_a_run_is_printed_in_a_line(screen: Screen) -> None:
    report = RunReport(
        events_landed=1_234_567,
        profiles_updated=2_000,
        profiles_indexed=1_999,
        seconds=12.34,
        events_per_second=100_046.0,
    )
    print_run(report, screen.console)
    assert screen.lines == [
        "1,234,567 events landed, 2,000 profiles updated, 1,999 indexed, in 12.3 s "
        "(100,046 events/s)"
    ]


def test_invalid_messages_are_printed_with_the_topic_that_has_them(screen: Screen) -> None:
    print_run(RunReport(invalid_messages=1_200, seconds=1.0), screen.console)
    assert screen.lines[1:] == [
        "1,200 messages do not keep the contract; they are in raw_events_dead_letter"
    ]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {},
            "  11:57:06  batch 12: 3,000 events, 1,500 customers in 0.8 s, seen after 2.0 s, "
            "0 waiting",
        ),
        (
            {"invalid_messages": 1_001, "lag_events": 4_000},
            "  11:57:06  batch 12: 3,000 events, 1,500 customers, 1,001 invalid messages "
            "in 0.8 s, seen after 2.0 s, 4,000 waiting",
        ),
        (
            {"lag_seconds": None},
            "  11:57:06  batch 12: 3,000 events, 1,500 customers in 0.8 s, 0 waiting",
        ),
    ],
)
def test_a_micro_batch_is_described_in_a_line(changes: dict[str, Any], line: str) -> None:
    values: dict[str, Any] = {
        "batch": 12,
        "at": "2020-09-24T11:57:06.123+00:00",
        "events": 3_000,
        "invalid_messages": 0,
        "customers": 1_500,
        "seconds": 0.76,
        "seconds_by_stage": {},
        "lag_events": 0,
        "lag_seconds": 2.04,
        "lagging_buckets": 5,
    }
    assert micro_batch_line(MicroBatch(**{**values, **changes})) == line


def test_the_best_customers_are_printed_with_their_revenue(screen: Screen) -> None:
    profiles = [
        {"user_id": "7", "total_revenue": 12_345.6, "total_purchases": 3, "favorite_brand": "acme"},
        {"user_id": "8", "total_revenue": 9.0, "total_purchases": 1, "favorite_brand": None},
    ]
    print_best_customers(profiles, screen.console)
    assert screen.lines == [
        "",
        "Best customers",
        "  7     12,345.60 (3 bought), mostly acme",
        "  8          9.00 (1 bought), mostly no brand",
    ]


@pytest.mark.parametrize("brand", ["[/]", "[x]y", "[bold]"])
def test_a_brand_that_looks_like_markup_is_printed_as_it_is(screen: Screen, brand: str) -> None:
    profile = {"user_id": "7", "total_revenue": 1.0, "total_purchases": 1, "favorite_brand": brand}
    print_best_customers([profile], screen.console)
    assert screen.lines[-1].endswith(f"mostly {brand}")


def test_without_revenue_there_are_no_best_customers(screen: Screen) -> None:
    print_best_customers([], screen.console)
    assert screen.text == ""


def test_next_steps_name_a_customer_and_the_account(screen: Screen) -> None:
    print_next_steps("7", "http://host:9200", '--user "r:$(sed [x] .env)" ', screen.console)
    assert screen.lines == [
        "",
        "Where to look next",
        "  one profile  make profile ID=7",
        '  by curl      curl --user "r:$(sed [x] .env)" '
        "'http://host:9200/customer_profiles/_search?q=customer_segment:%22High+Value%22&pretty'",
        "  dashboards   make dashboard",
        "  what runs    make status",
    ]


def test_the_summary_shows_shares_of_events_and_customers(screen: Screen) -> None:
    report = RunReport(
        events=1_000,
        customers=4,
        event_types={"view": 999, "cart": 0, "purchase": 1},
        segments={"Casual Visitor": 3, "High Value": 1},
        revenue="1234567.50",
        average_customer_value="308641.88",
    )
    screen.console.print(summary(report))
    rows = [line.split() for line in screen.lines if line]
    assert rows == [
        ["Events", "1,000"],
        ["view", "999", "99.9", "%", "█" * 30],
        # A share that would have no bar has the shortest one.
        ["purchase", "1", "0.1", "%", "█"],
        ["Customers", "4"],
        ["Casual", "Visitor", "3", "75.0", "%", "█" * 22],
        ["High", "Value", "1", "25.0", "%", "█" * 8],
        ["Revenue", "1,234,567.50"],
        ["average", "per", "customer", "308,641.88"],
    ]


def test_the_summary_of_an_empty_lake_has_no_shares(screen: Screen) -> None:
    screen.console.print(summary(RunReport()))
    assert [line.split() for line in screen.lines if line] == [
        ["Events", "0"],
        ["Customers", "0"],
        ["Revenue", "0.00"],
        ["average", "per", "customer", "0.00"],
    ]
