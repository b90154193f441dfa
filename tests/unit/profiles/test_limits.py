"""Values at the limits of the contract: sums and averages stay exact, and every date counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from customer_profiles.contracts.limits import MAX_PRICE_DECIMALS, MAX_PRICE_DIGITS
from customer_profiles.profiles.aggregate import build_from_distinct
from customer_profiles.profiles.event_counts import METRIC_SCHEMA, add_counts, count_events
from customer_profiles.profiles.schema import PRICE, PROFILE_SCHEMA
from customer_profiles.profiles.segments import Rule, Segments, read_segments
from tests.support import EVENT_COLUMNS, event, events

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UNIT = Decimal(10) ** -MAX_PRICE_DECIMALS
HIGHEST = Decimal(10) ** MAX_PRICE_DIGITS - UNIT
CENT = Decimal("0.01")

UNITS = int(HIGHEST / UNIT)
PRICES = st.one_of(st.integers(0, 200), st.integers(UNITS - 200, UNITS), st.integers(0, UNITS)).map(
    lambda units: units * UNIT
)
NUMBERS = st.one_of(st.integers(1, 3), st.sampled_from([101, 922, 923, 1080, 10_001, 20_000]))


def purchases(parts: Sequence[tuple[Decimal, int]]) -> pl.DataFrame:
    """Return purchases of one customer on one day: each price so many times."""
    (values,) = events(event(event_type="purchase")).to_dicts()
    template = pl.DataFrame([values], schema=EVENT_COLUMNS)
    return pl.concat(
        template.join(pl.int_range(number, eager=True).to_frame("row"), how="cross")
        .drop("row")
        .with_columns(pl.lit(price, PRICE).alias("price"))
        for price, number in parts
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(PRICES, NUMBERS), min_size=1, max_size=4))
@example([(HIGHEST, 20_000)])
@example([(Decimal("999999999999.99"), 101)])
@example([(Decimal("999999999999.99"), 1080)])
def test_sums_and_averages_equal_those_of_python(parts: list[tuple[Decimal, int]]) -> None:
    rows = purchases(parts)
    total = sum((price * number for price, number in parts), Decimal(0))
    profiles = build_from_distinct(rows, read_segments(), NOW)
    assert profiles.schema == pl.Schema(PROFILE_SCHEMA)
    (profile,) = profiles.to_dicts()
    assert profile["total_revenue"] == total.quantize(CENT, ROUND_HALF_UP)
    assert profile["avg_order_value"] == (total / rows.height).quantize(CENT, ROUND_HALF_UP)
    assert (profile["customer_segment"] == "High Value") == (profile["total_revenue"] >= 1000)
    counts = add_counts([count_events(rows, profiles)])
    assert counts.schema == pl.Schema(METRIC_SCHEMA)
    assert counts["revenue"].unique().to_list() == [total]
    assert counts["events"].unique().to_list() == [rows.height]


def test_counts_add_up_to_sums_of_any_size() -> None:
    rows = purchases([(HIGHEST, 1)])
    counts = add_counts([count_events(rows, build_from_distinct(rows, read_segments(), NOW))])
    large = counts.with_columns(pl.col("revenue") * 10**15)
    assert add_counts([large, large])["revenue"].unique().to_list() == [2 * 10**15 * HIGHEST]


@pytest.mark.parametrize("at_least", [Decimal(0), Decimal("9223372036854775807.99")])
def test_segments_compare_sums_of_any_size(at_least: Decimal) -> None:
    segments = Segments(1, (Rule("A", "total_revenue", at_least), Rule("B")))
    revenue = pl.DataFrame(
        {"total_revenue": [at_least, at_least - CENT]},
        schema_overrides={"total_revenue": PROFILE_SCHEMA["total_revenue"]},
    )
    assert revenue.select(segments.assign()).to_series().to_list() == ["A", "B"]


@pytest.mark.parametrize(
    "moment",
    [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)],
)
def test_dates_far_off_are_counted_and_profiled(moment: datetime) -> None:
    rows = events(event(event_time=moment), event(user_id="8"))
    profiles = build_from_distinct(rows, read_segments(), NOW)
    assert profiles["first_seen"].to_list() == [moment, event()["event_time"]]
    assert profiles["days_active"].to_list() == [1, 1]
    counts = add_counts([count_events(rows[:1], profiles), count_events(rows[1:], profiles)])
    days = counts.filter(pl.col("granularity") == "day")
    start = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    assert set(days["time"]) == {start, datetime(2020, 9, 24, tzinfo=UTC)}
    assert set(days["events"]) == {1}
