"""Sums over profiles, for the state of the pipeline and its reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl


def check_totals(totals: Mapping[str, Any]) -> None:
    """See that stored totals are what `totals_of` returns, as far as they can be added.

    Raises:
        KeyError: a name is missing.
        TypeError: a value is of another kind.
    """
    kinds = {"customers": int, "segments": dict, "segments_versions": dict}
    for name, kind in kinds.items():
        if not isinstance(totals[name], kind):
            raise TypeError(f"{name} is {totals[name]!r}")


def totals_of(profiles: pl.DataFrame) -> dict[str, Any]:
    """Sum up some profiles; the totals of several sets of customers can be added.

    Args:
        profiles: `PROFILE_SCHEMA`.

    Returns:
        Integers `customers`, `total_events`, `total_purchases`, `total_product_views`,
        `total_cart_additions` and `revenue_cents`, and two dicts with numbers of customers:
        `segments` by segment name, `segments_versions` by version as text. All of it can be
        written as JSON.
    """
    cents = (pl.col("total_revenue") * 100).cast(pl.Int128)
    counters = ("events", "purchases", "product_views", "cart_additions")
    sums = profiles.select(
        pl.len().alias("customers"),
        *(pl.col(f"total_{name}").sum() for name in counters),
        cents.sum().alias("revenue_cents"),
    ).row(0, named=True)
    segments = dict(profiles.group_by("customer_segment").len().iter_rows())
    customers_by_version = profiles.group_by("segments_version").len()
    versions = {str(version): count for version, count in customers_by_version.iter_rows()}
    return {**sums, "segments": segments, "segments_versions": versions}
