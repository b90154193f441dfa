"""Profiles as Elasticsearch documents."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customer_profiles.profiles.schema import PROFILE_SCHEMA
from customer_profiles.search.documents import iso_8601, to_double, to_ndjson
from tests.support import build_indexed, event, events


def test_a_bulk_request_contains_whole_profiles_by_user_id() -> None:
    rows = events(
        event(),
        event(event_type="purchase", price=Decimal("11.86"), brand='a"b'),
        event(event_id="e3", event_time=datetime(1, 1, 1, tzinfo=UTC)),
        event(user_id="8"),
    )
    profiles = build_indexed(rows, datetime(2026, 1, 1, 12, tzinfo=UTC))
    lines = [json.loads(line) for line in to_ndjson(profiles, 3).splitlines()]
    assert lines[0] == {"index": {"_id": "7", "version": 3, "version_type": "external_gte"}}
    assert set(lines[1]) == {*PROFILE_SCHEMA, "category", "brand", "event_days"}
    assert lines[1]["event_days"] == ["0001-01-01", "2020-09-24"]
    # The same values as the counts of events have.
    assert (lines[1]["category"], lines[1]["brand"]) == (
        lines[1]["favorite_category"].split(".")[0],
        'a"b',
    )
    assert (lines[1]["total_revenue"], lines[1]["favorite_brand"]) == (11.86, 'a"b')
    assert lines[1]["profile_generated_at"] == "2026-01-01T12:00:00Z"
    assert lines[2]["index"]["_id"] == "8"
    assert lines[3]["avg_order_value"] is None
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="event_days"):
        to_ndjson(profiles.drop("event_days"), 3)


WHOLE_SECONDS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(
    lambda time: time.replace(microsecond=0)
)


@pytest.mark.no_cover
@given(st.lists(WHOLE_SECONDS), st.lists(st.datetimes()), st.integers(1, 3))
def test_times_are_written_as_iso_8601(
    whole: list[datetime], fractional: list[datetime], repeats: int
) -> None:
    for times in (
        whole,
        whole[:1] * repeats,
        [*whole, None],
        whole + fractional,
        fractional[:1] * repeats,
    ):
        series = pl.Series("at", times, dtype=pl.Datetime("us")).dt.replace_time_zone("UTC")
        texts = iso_8601(series)
        assert texts.name == "at"
        for text, time in zip(texts, times, strict=True):
            if time is None or not time.microsecond:
                assert text == (time and f"{time.isoformat()}Z")
            else:
                assert datetime.fromisoformat(text) == time.replace(tzinfo=UTC)


@given(st.lists(st.one_of(st.integers(-(10**16), 10**16), st.integers(0, 10**34)), max_size=4))
def test_amounts_become_the_nearest_doubles(units: list[int]) -> None:
    amounts = [unit * Decimal("0.0001") for unit in units] + [None]
    series = pl.Series("revenue", amounts, dtype=pl.Decimal(38, 4))
    doubles = to_double(series)
    assert doubles.name == "revenue"
    assert doubles.to_list() == [None if amount is None else float(amount) for amount in amounts]
