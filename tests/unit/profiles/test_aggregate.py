"""Profiles are a pure function of a customer's events."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from customer_profiles.profiles import schema
from customer_profiles.profiles.aggregate import (
    build_from_distinct,
    build_profiles,
    deduplicate_events,
)
from customer_profiles.profiles.schema import PROFILE_SCHEMA
from customer_profiles.profiles.segments import read_segments
from tests.support import EVENT_COLUMNS, event, events

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SEGMENTS = read_segments()


def profile(*rows: dict[str, Any]) -> dict[str, Any]:
    built = build_profiles(events(*rows), SEGMENTS, NOW)
    assert built.schema == pl.Schema(PROFILE_SCHEMA)
    (row,) = built.to_dicts()
    return row


def test_a_profile_has_every_field() -> None:
    price = Decimal("11.86")
    built = profile(
        event(price=price),
        event(event_type="cart", price=price),
        event(event_type="purchase", price=price),
    )
    assert built == {
        "user_id": "7",
        "customer_segment": "Converting Customer",
        "total_events": 3,
        "total_sessions": 1,
        "total_purchases": 1,
        "total_product_views": 1,
        "total_cart_additions": 1,
        "total_revenue": Decimal("11.86"),
        "conversion_rate": 33.33,
        "avg_order_value": Decimal("11.86"),
        "days_active": 1,
        "first_seen": datetime(2020, 9, 24, 11, 57, 6, tzinfo=UTC),
        "last_seen": datetime(2020, 9, 24, 11, 57, 6, tzinfo=UTC),
        "favorite_category": "electronics.telephone",
        "favorite_brand": None,
        "profile_generated_at": NOW,
        "segments_version": 1,
    }


@pytest.mark.parametrize(
    ("prices", "revenue", "average"),
    [
        ([], "0.00", None),
        (["0.00"], "0.00", "0.00"),
        (["0.10", "0.20"], "0.30", "0.15"),
        (["0.01", "0.02"], "0.03", "0.02"),
        (["1.00", "1.00", "1.01"], "3.01", "1.00"),
        (["0.1249", "0.0001"], "0.13", "0.06"),
        (["64771.06"] * 3, "194313.18", "64771.06"),
    ],
)
def test_money_is_exact_to_the_cent(prices: list[str], revenue: str, average: str | None) -> None:
    built = profile(
        event(), *(event(event_type="purchase", price=Decimal(price)) for price in prices)
    )
    assert built["total_revenue"] == Decimal(revenue)
    assert built["avg_order_value"] == (None if average is None else Decimal(average))


@pytest.mark.parametrize(
    ("purchases", "rest", "rate"),
    [(0, 1, 0.0), (1, 0, 100.0), (1, 2, 33.33), (2, 1, 66.67), (1, 7, 12.5), (2, 21, 8.7)],
)
def test_conversion_rate_has_two_decimals(purchases: int, rest: int, rate: float) -> None:
    rows = [event(event_type="purchase")] * purchases + [event()] * rest
    assert profile(*rows)["conversion_rate"] == rate


def test_a_tie_in_a_favorite_goes_to_the_alphabetically_first() -> None:
    built = profile(
        event(brand="sony"),
        event(brand="apple"),
        event(brand="zebra"),
        event(brand=None),
        event(brand=None),
    )
    assert built["favorite_brand"] == "apple"
    assert (
        profile(event(brand="apple"), event(brand="sony"), event(brand="sony"))["favorite_brand"]
        == "sony"
    )


def test_days_and_sessions_are_counted_once() -> None:
    times = [
        datetime(2020, 9, 24, 23, 59, 59, tzinfo=UTC),
        datetime(2020, 9, 25, tzinfo=UTC),
        datetime(2020, 9, 25, 9, tzinfo=UTC),
    ]
    sessions = ["a", "b", "a"]
    built = profile(
        *(
            event(event_time=time, user_session=session)
            for time, session in zip(times, sessions, strict=True)
        )
    )
    assert (built["days_active"], built["total_sessions"]) == (2, 2)
    assert (built["first_seen"], built["last_seen"]) == (times[0], times[2])


def test_removals_from_the_cart_only_count_as_events() -> None:
    built = profile(event(event_type="remove_from_cart"))
    assert (built["total_events"], built["total_product_views"], built["total_cart_additions"]) == (
        1,
        0,
        0,
    )


def test_repeats_count_once() -> None:
    purchase = event(event_type="purchase")
    twice = pl.DataFrame([purchase, purchase], schema=EVENT_COLUMNS)
    assert build_profiles(twice, SEGMENTS, NOW)["total_revenue"].to_list() == [Decimal("31.90")]


def test_no_events_give_no_profiles() -> None:
    assert build_profiles(pl.DataFrame(schema=EVENT_COLUMNS), SEGMENTS, NOW).schema == pl.Schema(
        PROFILE_SCHEMA
    )


@pytest.mark.parametrize(
    ("rows", "segment"),
    [
        ([event(event_type="purchase", price=Decimal("1000"))], "High Value"),
        ([event(event_type="purchase", price=Decimal("999.99"))], "Medium Value"),
        ([event(event_type="purchase", price=Decimal("500"))], "Medium Value"),
        ([event(event_type="purchase", price=Decimal("499.99"))], "Converting Customer"),
        ([event(event_type="purchase", price=Decimal(0))], "Converting Customer"),
        ([event(event_type="cart")] + [event()] * 10, "Interested Shopper"),
        ([event()] * 10, "Active Browser"),
        ([event()] * 9, "Casual Visitor"),
        ([event(event_type="remove_from_cart")] * 10, "Casual Visitor"),
    ],
)
def test_the_first_matching_segment_is_assigned(rows: list[dict[str, Any]], segment: str) -> None:
    assert profile(*rows)["customer_segment"] == segment


def test_distinct_events_need_no_id() -> None:
    rows = events(event(), event(user_id="8"))
    without_ids = deduplicate_events(rows).drop("event_id")
    expected = build_profiles(rows, SEGMENTS, NOW)
    assert build_from_distinct(without_ids, SEGMENTS, NOW).equals(expected)


def test_profiles_need_only_the_event_columns() -> None:
    rows = events(event(brand="x"), event(event_type="purchase"))
    assert set(rows.columns) == set(schema.EVENT_COLUMNS)
    with_another_column = rows.with_columns(product_id=pl.lit("1"))
    expected = build_profiles(rows, SEGMENTS, NOW)
    assert build_profiles(with_another_column.select(schema.EVENT_COLUMNS), SEGMENTS, NOW).equals(
        expected
    )


@pytest.mark.no_cover
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_order_and_repeats_change_nothing(data: st.DataObject) -> None:
    event_types = st.sampled_from(["view", "cart", "purchase", "remove_from_cart"])
    times = st.datetimes(datetime(2020, 1, 1), datetime(2021, 1, 1), timezones=st.just(UTC))
    distinct = [
        event(
            event_id=str(number),
            event_type=data.draw(event_types),
            event_time=data.draw(times),
            user_id=data.draw(st.sampled_from("123")),
            user_session=data.draw(st.sampled_from("abc")),
            brand=data.draw(st.sampled_from(["x", "y", None])),
            price=Decimal(data.draw(st.integers(0, 10**7))) / 100,
        )
        for number in range(data.draw(st.integers(1, 12)))
    ]
    once = build_profiles(pl.DataFrame(distinct, schema=EVENT_COLUMNS), SEGMENTS, NOW)
    shuffled = data.draw(
        st.permutations(distinct + data.draw(st.lists(st.sampled_from(distinct), max_size=5)))
    )
    assert build_profiles(pl.DataFrame(shuffled, schema=EVENT_COLUMNS), SEGMENTS, NOW).equals(once)
    assert once["total_events"].sum() == len(distinct)
