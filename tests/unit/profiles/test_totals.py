"""Totals of profiles."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import polars as pl

from customer_profiles.profiles.aggregate import build_profiles
from customer_profiles.profiles.schema import PROFILE_SCHEMA
from customer_profiles.profiles.segments import read_segments
from customer_profiles.profiles.totals import totals_of
from tests.support import event, events


def test_totals_can_be_written_as_json() -> None:
    rows = events(
        event(),
        event(event_type="purchase", price=Decimal("0.10")),
        event(event_type="cart", user_id="8"),
        event(event_type="purchase", user_id="9", price=Decimal("1234.56")),
    )
    totals = totals_of(build_profiles(rows, read_segments(), datetime(2026, 1, 1, tzinfo=UTC)))
    assert json.loads(json.dumps(totals)) == {
        "customers": 3,
        "total_events": 4,
        "total_purchases": 2,
        "total_product_views": 1,
        "total_cart_additions": 1,
        "revenue_cents": 123466,
        "segments": {"Converting Customer": 1, "High Value": 1, "Interested Shopper": 1},
        "segments_versions": {"1": 3},
    }


def test_no_profiles_have_totals_of_zero() -> None:
    totals = totals_of(pl.DataFrame(schema=PROFILE_SCHEMA))
    assert (totals["customers"], totals["revenue_cents"], totals["segments"]) == (0, 0, {})


def test_totals_of_any_size_are_exact() -> None:
    revenue = Decimal("999999999999") * 10**15 + Decimal("0.99")
    profiles = build_profiles(events(event()), read_segments(), datetime(2026, 1, 1, tzinfo=UTC))
    profiles = profiles.with_columns(total_revenue=pl.lit(revenue, PROFILE_SCHEMA["total_revenue"]))
    assert totals_of(pl.concat([profiles] * 3))["revenue_cents"] == 3 * int(revenue * 100)
