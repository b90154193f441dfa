"""Statistics add up, whatever parts they come in."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from customer_profiles.quality import customers, statistics
from customer_profiles.quality.history import Series, build_history, quantile

pytestmark = pytest.mark.unit
DAY = datetime(2021, 1, 5, tzinfo=UTC)


def event(hour: int = 12, **changes: Any) -> dict[str, Any]:
    values = {
        "event_id": "1", "event_time": DAY.replace(hour=hour), "event_type": "view",
        "category_id": "1", "category_code": "auto.light", "category_root": "auto",
        "brand": "bosch", "price": Decimal("10.0000"), "user_id": "1", "user_session": "a",
        "source": "shop", "kafka_partition": 0,
    }  # fmt: skip
    return values | changes


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    types = {"price": pl.Decimal(18, 4), "kafka_partition": pl.Int32, "brand": pl.String}
    return pl.DataFrame(list(rows), schema_overrides=types).with_columns(
        pl.col("event_time").cast(pl.Datetime("us", "UTC"))
    )


EVENTS = frame(
    event(0),
    event(12, event_id="2", brand=None, event_type="purchase"),
    event(23, event_id="3", user_id="2", brand="new", price=Decimal("0.0000")),
    event(23, event_id="3", user_id="2", brand="new", price=Decimal("0.0000"), kafka_partition=1),
)


def number(found: pl.DataFrame, metric: str, key: str = "") -> int:
    return int(found.filter((pl.col("metric") == metric) & (pl.col("key") == key))["value"].sum())


def test_rows_nulls_types_and_half_hours_are_counted() -> None:
    found = statistics.summarise_rows(EVENTS)
    assert number(found, statistics.ROWS) == 4
    assert number(found, statistics.NULLS, "brand") == 1
    assert number(found, statistics.TYPES, "purchase") == 1
    assert number(found, statistics.HALF_HOURS, "46") == 2
    assert number(found, statistics.PRICES, "auto|-40") == 2


@pytest.mark.parametrize("cut", range(5))
def test_the_same_rows_in_other_parts_give_the_same_statistics(cut: int) -> None:
    parts = [statistics.summarise_rows(part) for part in (EVENTS[:cut], EVENTS[cut:])]
    whole = statistics.add_up([statistics.summarise_rows(EVENTS)])
    assert statistics.add_up(parts).equals(whole)
    assert statistics.add_up([statistics.add_up(parts[1:]), parts[0]]).equals(whole)


def test_a_value_is_first_seen_on_the_earlier_of_two_days() -> None:
    later = EVENTS.with_columns(pl.col("event_time") + pl.duration(days=1))
    parts = [statistics.summarise_rows(each) for each in (later, EVENTS)]
    found = statistics.add_up(parts).filter(pl.col("metric") == statistics.FIRST_SEEN)
    assert set(found["day"]) == {DAY.date()}


def test_rows_are_late_when_newer_ones_came_more_than_an_hour_before() -> None:
    first = statistics.summarise_rows(EVENTS)
    watermark = statistics.advance(None, first, DAY)
    assert watermark == DAY.replace(hour=23)
    late = statistics.late_rows(first, watermark)
    assert number(late, statistics.LATE) == 2
    assert not statistics.late_rows(first, None).height


def test_a_clock_that_is_days_ahead_does_not_move_the_watermark() -> None:
    ahead = frame(event(), event(event_time=datetime(2031, 1, 1, tzinfo=UTC)))
    assert statistics.advance(None, statistics.summarise_rows(ahead), DAY) == DAY.replace(hour=12)


def test_customers_sessions_and_revenue_are_counted_once_for_each_event() -> None:
    distinct = EVENTS.unique("event_id")
    found = customers.add_up(
        [customers.summarise_stored(EVENTS), customers.summarise_customers(distinct)]
    )
    assert dict(found.select("metric", "value").iter_rows()) == {
        "stored": 4, "events": 3, "customers": 2, "sessions": 2, "buyers": 1, "purchases": 1,
        "revenue": 100_000, "new_customers": 2, "most_events": 2,
    }  # fmt: skip


def test_the_history_has_shares_and_repeats() -> None:
    people = customers.add_up(
        [
            customers.summarise_stored(EVENTS),
            customers.summarise_customers(EVENTS.unique("event_id")),
        ]
    )
    history = build_history(statistics.add_up([statistics.summarise_rows(EVENTS)]), people)
    assert history.series[Series("null_share", "brand")][DAY.date()].value == 0.25
    assert history.series[Series("repeated_share")][DAY.date()].value == pytest.approx(1 / 3)
    assert history.series[Series("event_type_share", "cart")][DAY.date()].value == 0


def test_a_quantile_is_interpolated_within_its_bin() -> None:
    assert quantile({0: 10, 4: 10}, 0.25) == pytest.approx(2 ** (1 / 8))
    assert quantile({}, 0.5) == 0
