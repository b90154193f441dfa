"""The days on which customers have events."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl

from customer_profiles.profiles.event_days import find_event_days
from customer_profiles.profiles.schema import INDEXED_SCHEMA
from tests.support import event, events

MIDNIGHT = datetime(2020, 9, 25, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)


def test_each_day_counts_once_by_utc() -> None:
    rows = events(
        event(user_id="9", event_time=MIDNIGHT),
        event(user_id="10", event_time=MIDNIGHT),
        event(user_id="9", event_time=MIDNIGHT - INSTANT),
        event(user_id="9", event_time=MIDNIGHT),
        event(user_id="9", event_time=MIDNIGHT + timedelta(hours=23)),
    )
    days = find_event_days(rows)
    assert days.rows() == [
        ("10", [date(2020, 9, 25)]),
        ("9", [date(2020, 9, 24), date(2020, 9, 25)]),
    ]
    assert days.schema == {name: INDEXED_SCHEMA[name] for name in ("user_id", "event_days")}


def test_a_customer_may_have_an_event_on_thousands_of_days() -> None:
    times = pl.datetime_range(
        datetime(2000, 1, 1), datetime(2026, 1, 1), "12h", time_zone="UTC", eager=True
    )
    rows = pl.DataFrame({"user_id": "7", "event_time": times})
    ((_, days),) = find_event_days(rows.reverse()).iter_rows()
    assert len(days) == (date(2026, 1, 1) - date(2000, 1, 1)).days + 1
    assert days == sorted(days)


def test_no_events_have_no_days() -> None:
    assert find_event_days(events().clear()).is_empty()
