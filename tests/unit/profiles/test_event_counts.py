"""Event counts, which the charts show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from customer_profiles.contracts import category_root
from customer_profiles.profiles.event_counts import (
    METRIC_SCHEMA,
    NONE,
    OTHER,
    add_counts,
    count_brands,
    count_events,
    reduce_brands,
    top_brands,
)
from tests.support import event, events

NOON = datetime(2020, 9, 24, 12, tzinfo=UTC)
PROFILES = pl.DataFrame({"user_id": ["7", "8"], "customer_segment": ["A", "B"]})


def count_row(**changes: object) -> dict[str, object]:
    day = NOON.replace(hour=0)
    values = {
        "granularity": "day",
        "time": day,
        "event_type": "view",
        "category": "electronics",
        "brand": "x",
    }
    return {**values, "customer_segment": "A", "events": 1, "revenue": Decimal(0), **changes}


def counts_of(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=METRIC_SCHEMA)


def test_days_count_all_events_and_minutes_the_recent_ones() -> None:
    counts = count_events(
        events(
            event(event_time=NOON, brand="x"),
            event(event_time=NOON - timedelta(hours=3), brand="x"),
            event(
                event_time=NOON + timedelta(seconds=59),
                brand="x",
                event_type="purchase",
                price=Decimal("0.0125"),
            ),
            event(event_time=NOON - timedelta(days=1), brand=None, category_code=None, user_id="8"),
        ),
        PROFILES,
    )
    expected = counts_of(
        count_row(
            time=datetime(2020, 9, 23, tzinfo=UTC),
            category="(none)",
            brand="(none)",
            customer_segment="B",
        ),
        count_row(event_type="purchase", revenue=Decimal("0.0125")),
        count_row(events=2),
        count_row(
            granularity="minute", time=NOON, event_type="purchase", revenue=Decimal("0.0125")
        ),
        count_row(granularity="minute", time=NOON),
    )
    assert_frame_equal(add_counts([counts]), expected)


def test_events_of_a_wrong_year_do_not_hide_the_recent_ones() -> None:
    now = NOON + timedelta(hours=1)
    ahead = (timedelta(0), timedelta(hours=20), timedelta(days=2), timedelta(days=300_000))
    parts = [
        count_events(events(event(event_time=NOON + step), event(user_id="8")), PROFILES, now)
        for step in ahead
    ]
    counts = add_counts(parts)
    minutes = counts.filter(pl.col("granularity") == "minute")["time"].unique().to_list()
    # A clock may be wrong by hours.
    assert minutes == [NOON + timedelta(hours=20)]
    minutes = add_counts(parts[2:]).filter(pl.col("granularity") == "minute")["time"].unique()
    assert minutes.to_list() == [event()["event_time"].replace(second=0)]
    assert counts.filter(pl.col("granularity") == "day")["events"].sum() == 2 * len(ahead)
    only_ahead = count_events(events(event(event_time=NOON + ahead[3])), PROFILES, now)
    assert only_ahead["granularity"].to_list() == ["day"]


@pytest.mark.parametrize(
    ("category_code", "category"),
    [
        ("electronics.telephone", "electronics"),
        ("electronics", "electronics"),
        ("a.b.c", "a"),
        (".foo", NONE),
        (".", NONE),
        ("", NONE),
        (None, NONE),
    ],
)
def test_the_category_of_a_count_is_the_top_level(category_code: str | None, category: str) -> None:
    rows = events(event(category_code=category_code, event_time=NOON))
    assert count_events(rows, PROFILES)["category"].to_list() == [category, category]
    assert (category_root(category_code) or NONE) == category


def test_counts_are_added_up_and_old_minutes_are_dropped() -> None:
    old, new = (
        counts_of(count_row(granularity="minute", time=time))
        for time in (NOON, NOON + timedelta(hours=2))
    )
    day = counts_of(count_row())
    assert_frame_equal(
        add_counts([old, day, new, day]), pl.concat([counts_of(count_row(events=2)), new])
    )


def test_no_events_give_no_counts() -> None:
    assert add_counts([]).height == 0
    assert count_events(events(event()).clear(), PROFILES).height == 0


def test_brands_of_several_counts_are_ranked_together() -> None:
    first, second = (
        counts_of(count_row(brand="x", events=3)),
        counts_of(count_row(brand="x"), count_row(brand="y")),
    )
    assert top_brands(map(count_brands, (first, second))) == ("x", "y")
    assert top_brands([]) == ()


def test_minutes_do_not_affect_the_rank_of_a_brand() -> None:
    brand_counts = count_brands(counts_of(count_row(), count_row(granularity="minute", time=NOON)))
    assert brand_counts.rows() == [("x", 1)]


def test_brands_below_the_top_are_counted_as_one() -> None:
    rows = counts_of(
        *(count_row(brand=f"b{number:02d}", events=30 - number) for number in range(22))
    )
    brands = top_brands([count_brands(rows)])
    assert brands == tuple(f"b{number:02d}" for number in range(20))
    reduced = add_counts([reduce_brands(rows, brands)])
    assert reduced.filter(pl.col("brand") == OTHER)["events"].to_list() == [10 + 9]
    assert reduced["events"].sum() == rows["events"].sum()
