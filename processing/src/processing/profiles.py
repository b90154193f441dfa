"""Events to profiles: a pure function, no Spark, no Kafka, no files."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import polars as pl

from processing.segments import Segments

MONEY = pl.Decimal(18, 2)
PRICE = pl.Decimal(18, 4)

PROFILE_SCHEMA: dict[str, pl.DataType] = {
    "user_id": pl.String(),
    "customer_segment": pl.String(),
    "total_events": pl.Int64(),
    "total_sessions": pl.Int64(),
    "total_purchases": pl.Int64(),
    "total_product_views": pl.Int64(),
    "total_cart_additions": pl.Int64(),
    "total_revenue": MONEY,
    "conversion_rate": pl.Float64(),
    "avg_order_value": MONEY,
    "days_active": pl.Int64(),
    "first_seen": pl.Datetime("us", "UTC"),
    "last_seen": pl.Datetime("us", "UTC"),
    "favorite_category": pl.String(),
    "favorite_brand": pl.String(),
    "profile_generated_at": pl.Datetime("us", "UTC"),
    "segments_version": pl.Int64(),
}
"""The fields of a profile, in order."""


def build_profiles(events: pl.DataFrame, segments: Segments, generated_at: datetime) -> pl.DataFrame:
    """One profile a customer, from all of that customer's events.

    Args:
        events: `event_id`, `event_type`, `user_id`, `user_session`, `category_code`, `brand` String,
            `event_time` Datetime(us, UTC), `price` Decimal(18, 4); in any order, repeats by
            `event_id` count once.
        segments: the rules for `customer_segment`.
        generated_at: goes into `profile_generated_at`; UTC.

    Returns:
        `PROFILE_SCHEMA`, sorted by `user_id`. Money is in the currency of the prices, to the cent,
        rounded half up. `total_revenue` is the sum of the prices of purchases; `avg_order_value`
        that sum by purchases, null where there are none; `conversion_rate` 100 · purchases / events
        with two decimals; `days_active` the days (UTC) with an event; `favorite_category` and
        `favorite_brand` the most frequent `category_code` and `brand` of all events, of equally
        frequent ones the alphabetically first, null where the customer has none.
    """
    return build_from_distinct(drop_repeats(events), segments, generated_at)


def build_from_distinct(events: pl.DataFrame, segments: Segments, generated_at: datetime) -> pl.DataFrame:
    """`build_profiles` of events that `drop_repeats` has been through; needs no `event_id`."""
    return (
        events.pipe(_summarise)
        .with_columns(segments.assign())
        .with_columns(
            pl.lit(generated_at).cast(pl.Datetime("us", "UTC")).alias("profile_generated_at"),
            pl.lit(segments.version, pl.Int64).alias("segments_version"),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in PROFILE_SCHEMA.items())
        .sort("user_id")
    )


def drop_repeats(events: pl.DataFrame) -> pl.DataFrame:
    """Each event once: what has the same `event_id` has the same values."""
    return events.unique("event_id", keep="any")


def _summarise(events: pl.DataFrame) -> pl.DataFrame:
    kind = pl.col("event_type")
    is_purchase = kind == "purchase"
    # Whole ten-thousandths, so that sums and rounding are exact.
    paid = (pl.col("price") * pl.lit(Decimal(10_000))).cast(pl.Int64)
    summary = events.group_by("user_id").agg(
        pl.len().cast(pl.Int64).alias("total_events"),
        pl.col("user_session").n_unique().cast(pl.Int64).alias("total_sessions"),
        is_purchase.sum().cast(pl.Int64).alias("total_purchases"),
        (kind == "view").sum().cast(pl.Int64).alias("total_product_views"),
        (kind == "cart").sum().cast(pl.Int64).alias("total_cart_additions"),
        paid.filter(is_purchase).sum().alias("paid"),
        pl.col("event_time").dt.date().n_unique().cast(pl.Int64).alias("days_active"),
        pl.col("event_time").min().alias("first_seen"),
        pl.col("event_time").max().alias("last_seen"),
    )
    events_, purchases, paid = pl.col("total_events"), pl.col("total_purchases"), pl.col("paid")
    summary = summary.with_columns(
        _cents((paid + 50) // 100).alias("total_revenue"),
        _cents(pl.when(purchases > 0).then((2 * paid + 100 * purchases) // (200 * purchases))).alias("avg_order_value"),
        ((20_000 * purchases + events_) // (2 * events_) / 100).round(2).alias("conversion_rate"),
    )
    for column, favorite in (("category_code", "favorite_category"), ("brand", "favorite_brand")):
        summary = summary.join(_favorite(events, column, favorite), on="user_id", how="left")
    return summary


def _cents(whole: pl.Expr) -> pl.Expr:
    return (whole.cast(pl.Decimal(38, 2)) * pl.lit(Decimal("0.01"))).cast(MONEY)


def _favorite(events: pl.DataFrame, column: str, name: str) -> pl.DataFrame:
    return (
        events.filter(pl.col(column).is_not_null())
        .group_by("user_id", column)
        .len()
        .sort("len", column, descending=[True, False])
        .unique("user_id", keep="first", maintain_order=True)
        .select("user_id", pl.col(column).alias(name))
    )
