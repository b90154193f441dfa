"""Which periods are compared, and what moved most."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest

from customer_profiles.dashboards.comparison import (
    Periods,
    choose_periods,
    figure_search,
    read_leader,
    read_movements,
)
from customer_profiles.dashboards.palette import EVENT_TYPES, SEGMENTS, colours
from customer_profiles.dashboards.panels import read_panels
from customer_profiles.profiles.segments import read_segments

FIRST, LAST = date(2020, 10, 1), date(2020, 12, 31)
PANELS = {panel.name: panel for panel in read_panels()}


@pytest.mark.parametrize(
    ("since", "until", "now", "before"),
    [
        # All of the data: its last 30 days.
        (None, None, (date(2020, 12, 2), LAST), (date(2020, 11, 2), date(2020, 12, 1))),
        # A range with as many days of data before it.
        (
            date(2020, 11, 11),
            date(2020, 11, 20),
            (date(2020, 11, 11), date(2020, 11, 20)),
            (date(2020, 11, 1), date(2020, 11, 10)),
        ),
        # The first days of the data: one half with the other.
        (
            date(1, 1, 1),
            date(2020, 10, 5),
            (date(2020, 10, 4), date(2020, 10, 5)),
            (date(2020, 10, 2), date(2020, 10, 3)),
        ),
    ],
)
def test_a_range_is_compared_with_the_days_before(
    since: date | None,
    until: date | None,
    now: tuple[date, date],
    before: tuple[date, date],
) -> None:
    periods = choose_periods(since, until, FIRST, LAST)
    assert periods
    assert ((periods.since, periods.until), (periods.before_since, periods.before_until)) == (
        now,
        before,
    )
    assert periods.days == (now[1] - now[0]).days + 1


@pytest.mark.parametrize(
    ("since", "until"),
    [(date(2021, 1, 1), None), (None, date(2020, 9, 30)), (None, FIRST)],
)
def test_nothing_is_compared_without_two_days_of_data(
    since: date | None, until: date | None
) -> None:
    assert choose_periods(since, until, FIRST, LAST) is None


@pytest.mark.parametrize("days", [2, 30, 41, 365, 3_000_000, date.max.toordinal()])
def test_a_sparkline_has_at_most_forty_whole_steps(days: int) -> None:
    last = date(1, 1, 1) + timedelta(days - 1)
    periods = Periods(date(1, 1, 1), last, last, last, last)
    spark = figure_search(PANELS["total-revenue"], periods, [])["aggs"]["spark"]
    steps = [
        (date.fromisoformat(step["from"]), date.fromisoformat(step["to"].removesuffix("||+1d")))
        for step in spark["aggs"]["steps"]["date_range"]["ranges"]
    ]
    assert 1 <= len(steps) <= 40
    assert steps[-1][1] == last
    assert len({end - begin for begin, end in steps}) == 1
    assert all(end + timedelta(1) == begin for (_, end), (begin, _) in pairwise(steps))
    assert (steps[0][0] - periods.first).days <= (steps[0][1] - steps[0][0]).days


def period(**revenue: dict[str, float]) -> dict[str, Any]:
    return {
        name: {
            "buckets": [
                {"key": key, "revenue": {"value": value}}
                for key, value in revenue.get(name, {}).items()
            ]
        }
        for name in ("segment", "category", "brand")
    }


def test_the_three_largest_movements_are_named() -> None:
    now = period(segment={"A": 10.0}, category={"c": 5.0}, brand={"x": 1.0, "(other)": 900.0})
    before = period(segment={"A": 2.0, "B": 3.0}, category={"c": 11.0}, brand={"x": 1.0})
    response = {"aggregations": {"now": now, "before": before}}
    rows = read_movements(response, frozenset())
    assert [(row["dimension"], row["key"], row["now"], row["before"]) for row in rows] == [
        ("segment", "A", 10.0, 2.0),
        ("category", "c", 5.0, 11.0),
        ("segment", "B", 0.0, 3.0),
    ]
    assert [row["key"] for row in read_movements(response, frozenset({"segment"}))] == ["c"]


def test_the_segment_that_earns_most_has_its_share() -> None:
    segments = period(segment={"A": 30.0, "B": 10.0})
    response = {"aggregations": {"range": {"revenue": {"value": 40.0}, **segments}}}
    assert read_leader(response) == {"key": "A", "share": 0.75}
    nothing = {"aggregations": {"range": {"revenue": {"value": 0.0}, **period()}}}
    assert read_leader(nothing) is None


def test_segments_and_event_types_have_the_same_colour_everywhere() -> None:
    assert set(SEGMENTS) == {rule.name for rule in read_segments().rules}
    assert colours(PANELS["segments"]) == colours(PANELS["segment-revenue"]) == SEGMENTS
    for name in ("funnel", "events", "recent"):
        assert colours(PANELS[name]) == EVENT_TYPES
    assert colours(PANELS["brands"]) == {}


def test_a_colour_is_seen_on_light_and_on_dark() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (
            part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    for colour in {*SEGMENTS.values(), *EVENT_TYPES.values()}:
        for background in ("#ffffff", "#1b212a"):
            light, dark = sorted((luminance(colour), luminance(background)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 3, (colour, background)
