"""Messages of `raw_events`, derived and encoded by whole columns."""

from __future__ import annotations

import polars as pl
import polars_hash as plh

from customer_profiles.contracts import COLUMNS, MESSAGE_FIELDS, SCHEMA_VERSION, SEPARATOR


def to_messages(values: pl.DataFrame, source: str) -> pl.DataFrame:
    """Derive the fields of messages.

    Args:
        values: `contracts.COLUMNS` with canonical values, and `source_row`.
        source: value of the message field `source`.

    Returns:
        The fields of `contracts.MESSAGE_FIELDS`, one row per row of `values`. `event_id` and
        `category_root` are computed as `contracts.event_id` and `contracts.category_root` do it.
    """
    identity = pl.concat_str([pl.col(name).fill_null("") for name in COLUMNS], separator=SEPARATOR)
    category = pl.col("category_code").str.split_exact(".", 1)
    return (
        values.with_columns(identity.alias("event_id"))
        .with_columns(
            plh.col("event_id").chash.sha2_256().str.head(32).alias("event_id"),
            category.struct.field("field_0").replace("", None).alias("category_root"),
            pl.lit(SCHEMA_VERSION).alias("schema_version"),
            pl.lit(source).alias("source"),
        )
        .select(MESSAGE_FIELDS)
    )


def encode(accepted: pl.DataFrame) -> pl.Series:
    """Encode messages as JSON, byte for byte as `contracts.encode` does.

    Args:
        accepted: the fields of a message, as `ValidatedBlock.accepted`.
    """
    return accepted.select(pl.struct(*MESSAGE_FIELDS).struct.json_encode()).to_series()
