"""The query of the example that reads the lake, run over profiles in memory."""

from __future__ import annotations

from decimal import Decimal

import polars as pl

from customer_profiles.profiles.schema import PROFILE_SCHEMA
from examples.read_the_lake import best_customers


def test_the_best_customers_are_those_with_the_highest_revenue() -> None:
    revenue = {"3": "10.00", "1": "20.00", "2": "10.00"}
    rows = [
        {"user_id": user_id, "total_revenue": Decimal(amount)}
        for user_id, amount in revenue.items()
    ]
    profiles = pl.LazyFrame(rows, schema=PROFILE_SCHEMA)
    best = best_customers(profiles, 2).collect()
    assert best["user_id"].to_list() == ["1", "2"]
    assert best.columns == [
        "user_id",
        "customer_segment",
        "total_purchases",
        "total_revenue",
        "favorite_brand",
    ]
