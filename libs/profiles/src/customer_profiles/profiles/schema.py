"""The columns of events and profiles, and the top level of a category."""

from __future__ import annotations

import polars as pl

MONEY = pl.Decimal(18, 2)
"""An amount to the cent that is no larger than the highest price."""
TOTAL = pl.Decimal(38, 2)
"""A sum of money to the cent. It holds the sum of any number of prices."""
PRICE = pl.Decimal(18, 4)
"""The price of one event; currencies have at most four decimals."""
PRICE_SUM = pl.Decimal(38, 4)
"""The exact sum of any number of prices."""

EVENT_COLUMNS = (
    "event_id",
    "event_time",
    "event_type",
    "category_code",
    "brand",
    "price",
    "user_id",
    "user_session",
)
"""The columns of events that profiles are built from."""

PROFILE_SCHEMA: dict[str, pl.DataType] = {
    "user_id": pl.String(),
    "customer_segment": pl.String(),
    "total_events": pl.Int64(),
    "total_sessions": pl.Int64(),
    "total_purchases": pl.Int64(),
    "total_product_views": pl.Int64(),
    "total_cart_additions": pl.Int64(),
    "total_revenue": TOTAL,
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
"""The fields of a profile, in order. `aggregate.build_profiles` defines what each one means."""
EVENT_DAYS = "event_days"
"""The days (UTC) with an event. Only the index has them, to find the customers of a time range."""
INDEXED_SCHEMA: dict[str, pl.DataType] = {**PROFILE_SCHEMA, EVENT_DAYS: pl.List(pl.Date())}
"""What an index has of a profile. `event_days.find_event_days` defines the last column."""


def category_root_expr(column: str) -> pl.Expr:
    """Build the expression for the top level of a category code.

    It gives the same values as `contracts.category_root`: `electronics` for
    `electronics.telephone`, null for null, `""` and `.telephone`.

    Args:
        column: the name of a String column with category codes.

    Returns:
        A String expression with the name of the column.
    """
    root = pl.col(column).str.split_exact(".", 1).struct.field("field_0")
    return pl.when(root != "").then(root).alias(column)
