"""Events to profiles: a pure function without Spark, Kafka or files."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import polars as pl

from customer_profiles.profiles.schema import PROFILE_SCHEMA, TOTAL
from customer_profiles.profiles.segments import Segments


def build_profiles(
    events: pl.DataFrame, segments: Segments, generated_at: datetime
) -> pl.DataFrame:
    """Build one profile per customer from all of that customer's events.

    Args:
        events: `event_id`, `event_type`, `user_id`, `user_session`, `category_code`, `brand`
            String, `event_time` Datetime(us, UTC), `price` Decimal(18, 4), in any order. Events
            with the same `event_id` count once.
        segments: the rules for `customer_segment`.
        generated_at: the value of `profile_generated_at`, in UTC.

    Returns:
        `PROFILE_SCHEMA`, sorted by `user_id`. Money is in the currency of the prices, rounded half
        up to the cent. `total_revenue` is the sum of the prices of purchases. `avg_order_value` is
        that sum divided by the number of purchases, null for a customer without purchases.
        `conversion_rate` is 100 · purchases / events with two decimals. `days_active` is the
        number of days (UTC) with an event. `favorite_category` and `favorite_brand` are the most
        frequent `category_code` and `brand` over all events. A tie goes to the alphabetically
        first. They are null for a customer whose events have none.
    """
    return build_from_distinct(deduplicate_events(events), segments, generated_at)


def build_from_distinct(
    events: pl.DataFrame, segments: Segments, generated_at: datetime
) -> pl.DataFrame:
    """Build profiles as `build_profiles` does, from events that are already deduplicated.

    Args:
        events: as for `build_profiles`, each event once; `event_id` is not needed.
        segments: the rules for `customer_segment`.
        generated_at: the value of `profile_generated_at`, in UTC.

    Returns:
        `PROFILE_SCHEMA`, sorted by `user_id`.
    """
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


def deduplicate_events(events: pl.DataFrame) -> pl.DataFrame:
    """Keep one row per `event_id`; rows with the same `event_id` have the same values."""
    return events.unique("event_id", keep="any")


def _summarise(events: pl.DataFrame) -> pl.DataFrame:
    event_type = pl.col("event_type")
    is_purchase = event_type == "purchase"
    summary = events.group_by("user_id").agg(
        pl.len().cast(pl.Int64).alias("total_events"),
        pl.col("user_session").n_unique().cast(pl.Int64).alias("total_sessions"),
        is_purchase.sum().cast(pl.Int64).alias("total_purchases"),
        (event_type == "view").sum().cast(pl.Int64).alias("total_product_views"),
        (event_type == "cart").sum().cast(pl.Int64).alias("total_cart_additions"),
        # Polars sums decimals in 128 bits.
        pl.col("price").filter(is_purchase).sum().alias("paid"),
        pl.col("event_time").dt.date().n_unique().cast(pl.Int64).alias("days_active"),
        pl.col("event_time").min().alias("first_seen"),
        pl.col("event_time").max().alias("last_seen"),
    )
    total, purchases = pl.col("total_events"), pl.col("total_purchases")
    # Whole ten-thousandths keep the rounding exact. 64 bits hold the sum of only 922 of the highest
    # prices.
    paid = (pl.col("paid") * pl.lit(Decimal(10_000))).cast(pl.Int128)
    number = purchases.cast(pl.Int128)
    # Adding half of the divisor before an integer division rounds half up.
    revenue = (paid + 50) // 100
    average = (2 * paid + 100 * number) // (200 * number)
    rate = (20_000 * purchases + total) // (2 * total) / 100
    summary = summary.with_columns(
        _money(revenue).alias("total_revenue"),
        _money(pl.when(purchases > 0).then(average)).alias("avg_order_value"),
        rate.round(2).alias("conversion_rate"),
    )
    for column, favorite in (("category_code", "favorite_category"), ("brand", "favorite_brand")):
        summary = summary.join(_favorite(events, column, favorite), on="user_id", how="left")
    return summary


def _money(cents: pl.Expr) -> pl.Expr:
    """Convert whole cents to `TOTAL`."""
    return cents.cast(TOTAL) * pl.lit(Decimal("0.01"))


def _favorite(events: pl.DataFrame, column: str, name: str) -> pl.DataFrame:
    """Find each customer's most frequent value of a column; a tie goes to the first by name."""
    return (
        events.filter(pl.col(column).is_not_null())
        .group_by("user_id", column)
        .len()
        .sort("len", column, descending=[True, False])
        .unique("user_id", keep="first", maintain_order=True)
        .select("user_id", pl.col(column).alias(name))
    )
