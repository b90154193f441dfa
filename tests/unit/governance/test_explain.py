"""Each field is explained by the events that give its value."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customer_profiles.common.errors import PipelineError
from customer_profiles.governance.explain import EXPLAINED, deduplicate, differs, explain
from customer_profiles.lake.events import EVENT_SCHEMA
from customer_profiles.profiles.aggregate import build_profiles
from customer_profiles.profiles.schema import EVENT_COLUMNS
from customer_profiles.profiles.segments import read_segments
from tests.support import event

SEGMENTS = read_segments()
NOW = datetime(2021, 1, 1, tzinfo=UTC)
SUMS = ("total_events", "total_sessions", "total_purchases", "total_product_views")
SUMS += ("total_cart_additions", "total_revenue", "days_active")


def stored(*rows: dict[str, Any]) -> pl.DataFrame:
    """Return events as the lake stores them; the id of each is its number unless it says one."""
    complete = [
        {
            **dict.fromkeys(EVENT_SCHEMA),
            **event(event_id=str(number)),
            "source": "f.csv",
            "source_row": number,
            "kafka_partition": 0,
            "kafka_offset": number,
            **row,
        }
        for number, row in enumerate(rows)
    ]
    return pl.DataFrame(complete, schema=EVENT_SCHEMA)


def test_revenue_is_explained_by_its_purchases() -> None:
    events, _ = deduplicate(
        stored(
            {"event_type": "purchase", "price": Decimal("10.0050")},
            {},
            {"event_type": "purchase", "price": Decimal("2")},
        )
    )
    revenue = explain("total_revenue", events, SEGMENTS)
    assert revenue.value == Decimal("12.01")
    assert revenue.events.select("source_row", "adds").rows() == [
        (0, Decimal("10.0050")),
        (2, Decimal("2.0000")),
    ]
    assert revenue.steps == ("12.0050 rounded half up to the cent is 12.01",)


def test_of_equal_events_the_first_row_counts_whatever_the_order() -> None:
    rows = [{"event_id": "a", "source_row": number} for number in (3, 1, 2)]
    for ordered in (rows, rows[::-1]):
        events, duplicates = deduplicate(stored(*ordered))
        assert events["source_row"].to_list() == [1]
        assert duplicates["source_row"].to_list() == [2, 3]


def test_a_segment_is_explained_by_the_rules_up_to_the_one_that_matches() -> None:
    events, _ = deduplicate(stored({"event_type": "purchase", "price": Decimal(600)}))
    segment = explain("customer_segment", events, SEGMENTS)
    assert segment.value == "Medium Value"
    assert segment.steps == (
        "High Value: total_revenue is 600.00, at least 1000 is asked: no",
        "Medium Value: total_revenue is 600.00, at least 500 is asked: yes",
    )


def test_a_favourite_names_its_rivals() -> None:
    events, _ = deduplicate(stored({"brand": "b"}, {"brand": "a"}, {"brand": None}))
    brand = explain("favorite_brand", events, SEGMENTS)
    assert (brand.value, brand.steps) == ("a", ("a: 1 events", "b: 1 events"))
    assert brand.events["source_row"].to_list() == [1]


def test_a_field_that_no_event_decides_is_refused_by_name() -> None:
    with pytest.raises(PipelineError, match="user_id is not a field that events decide"):
        explain("user_id", stored({}), SEGMENTS)


@given(st.data())
def test_every_explanation_adds_up_to_the_profile(data: st.DataObject) -> None:
    rows = [
        {
            "event_type": data.draw(
                st.sampled_from(["view", "cart", "purchase", "remove_from_cart"])
            ),
            "event_time": data.draw(
                st.datetimes(datetime(2020, 1, 1), datetime(2020, 1, 9), timezones=st.just(UTC))
            ),
            "user_session": data.draw(st.sampled_from("abc")),
            "category_code": data.draw(st.sampled_from(["a.b", "a", "c.d", None])),
            "brand": data.draw(st.sampled_from(["x", "y", None])),
            "price": Decimal(data.draw(st.integers(0, 10**9))) / 10_000,
        }
        for _ in range(data.draw(st.integers(1, 12)))
    ]
    repeats = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=4))
    all_rows = rows + [{**rows[number], "event_id": str(number)} for number in repeats]
    events, duplicates = deduplicate(stored(*all_rows))
    assert (events.height, duplicates.height) == (len(rows), len(repeats))

    profile = build_profiles(stored(*all_rows).select(EVENT_COLUMNS), SEGMENTS, NOW).to_dicts()[0]
    for field in EXPLAINED:
        explanation = explain(field, events, SEGMENTS)
        assert not differs(explanation, profile), field
        if field in SUMS:
            total = sum(explanation.events["adds"].to_list(), Decimal(0))
            assert total.quantize(Decimal("0.01"), "ROUND_HALF_UP") == Decimal(profile[field])
