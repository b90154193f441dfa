"""Events counted for charts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
from polars.testing import assert_frame_equal

from processing.charts import OTHER, count_brands, reduce_brands, to_ndjson, top_brands
from processing.metrics import METRIC_SCHEMA, add_metrics, count_events
from tests.support import event, events

NOON = datetime(2020, 9, 24, 12, tzinfo=UTC)
PROFILES = pl.DataFrame({"user_id": ["7", "8"], "customer_segment": ["A", "B"]})


def metric(**changes: object) -> dict[str, object]:
    day = NOON.replace(hour=0)
    values = {"granularity": "day", "time": day, "event_type": "view", "category": "electronics", "brand": "x"}
    return {**values, "customer_segment": "A", "events": 1, "revenue": Decimal(0), **changes}


def metrics(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=METRIC_SCHEMA)


def test_days_hold_everything_and_minutes_what_is_recent() -> None:
    found = count_events(
        events(
            event(event_time=NOON, brand="x"),
            event(event_time=NOON - timedelta(hours=3), brand="x"),
            event(event_time=NOON + timedelta(seconds=59), brand="x", event_type="purchase", price=Decimal("0.0125")),
            event(event_time=NOON - timedelta(days=1), brand=None, category_code=None, user_id="8"),
        ),
        PROFILES,
    )
    expected = metrics(
        metric(time=datetime(2020, 9, 23, tzinfo=UTC), category="(none)", brand="(none)", customer_segment="B"),
        metric(event_type="purchase", revenue=Decimal("0.0125")),
        metric(events=2),
        metric(granularity="minute", time=NOON, event_type="purchase", revenue=Decimal("0.0125")),
        metric(granularity="minute", time=NOON),
    )
    assert_frame_equal(add_metrics([found]), expected)


def test_counts_add_up_and_old_minutes_go() -> None:
    old, new = (metrics(metric(granularity="minute", time=time)) for time in (NOON, NOON + timedelta(hours=2)))
    day = metrics(metric())
    assert_frame_equal(add_metrics([old, day, new, day]), pl.concat([metrics(metric(events=2)), new]))


def test_no_events_are_no_metrics() -> None:
    assert add_metrics([]).height == 0
    assert count_events(events(event()).clear(), PROFILES).height == 0


def test_brands_beyond_the_first_are_one() -> None:
    rows = metrics(*(metric(brand=f"b{number:02d}", events=30 - number) for number in range(22)))
    brands = top_brands([count_brands(rows)])
    assert brands == tuple(f"b{number:02d}" for number in range(20))
    reduced = add_metrics([reduce_brands(rows, brands)])
    assert reduced.filter(pl.col("brand") == OTHER)["events"].to_list() == [10 + 9]
    assert reduced["events"].sum() == rows["events"].sum()


def test_a_brand_with_quotes_stays_in_its_line() -> None:
    (line,) = to_ndjson(metrics(metric(brand='a"b\n|')))
    action, document, rest = line.split("\n")
    assert rest == ""
    assert action == r'{"index":{"_id":"day|2020-09-24T00:00:00Z|view|electronics|a\"b\n||A"}}'
    assert r'"brand":"a\"b\n|"' in document
    (deletion,) = to_ndjson(metrics(metric()), delete=True)
    assert deletion == '{"delete":{"_id":"day|2020-09-24T00:00:00Z|view|electronics|x|A"}}\n'
