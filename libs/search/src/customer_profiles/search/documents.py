"""Profiles as JSON documents and as the body of a bulk request."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, cast

import polars as pl

from customer_profiles.contracts.limits import EXACT_FLOATS, MAX_DOCUMENT_ID_BYTES
from customer_profiles.profiles.event_counts import NONE
from customer_profiles.profiles.schema import (
    EVENT_DAYS,
    INDEXED_SCHEMA,
    PROFILE_SCHEMA,
    category_root_expr,
)
from customer_profiles.search.mapping import EXPERIMENTS

if TYPE_CHECKING:
    from decimal import Decimal

_TIMES = [name for name, dtype in PROFILE_SCHEMA.items() if isinstance(dtype, pl.Datetime)]
_MONEY = [name for name, dtype in PROFILE_SCHEMA.items() if isinstance(dtype, pl.Decimal)]


def to_ndjson(profiles: pl.DataFrame, version: int) -> bytes:
    """Write profiles as the body of a bulk request that indexes them under `_id = user_id`.

    Args:
        profiles: `INDEXED_SCHEMA`, and variants if there are any, as of `documents`.
        version: the version of each document; Elasticsearch keeps a document with a higher one.

    Returns:
        NDJSON: an action and a document (see `documents`) per profile.
    """
    # A user id has only digits, so it needs no escapes.
    lines = pl.concat_str(
        pl.lit('{"index":{"_id":"'),
        "user_id",
        pl.lit(f'","version":{version},"version_type":"external_gte"}}}}\n'),
        "document",
        pl.lit("\n"),
    )
    variants = [EXPERIMENTS] if EXPERIMENTS in profiles.columns else []
    texts = documents(profiles.select(*INDEXED_SCHEMA, *variants)).select(lines)
    return "".join(texts.to_series().to_list()).encode()


def documents(profiles: pl.DataFrame) -> pl.DataFrame:
    """Write profiles as JSON texts.

    Args:
        profiles: `PROFILE_SCHEMA` or `INDEXED_SCHEMA`, and if there are variants
            `mapping.EXPERIMENTS` String: those of the customer as a JSON object, or null.

    Returns:
        `user_id` String and `document` String: the fields of the profile in order,
        `mapping.FILTER_FIELDS`, the days and the variants if `profiles` has them. Money is written
        as numbers, times and days as ISO 8601 in UTC.
    """
    days = [EVENT_DAYS] if EVENT_DAYS in profiles.columns else []
    document = pl.struct(*PROFILE_SCHEMA, "category", "brand", *days).struct.json_encode()
    if EXPERIMENTS in profiles.columns:
        # Null without variants, and then the document stays as it is.
        field = pl.lit(f',"{EXPERIMENTS}":') + pl.col(EXPERIMENTS) + pl.lit("}")
        document = pl.coalesce(document.str.head(-1) + field, document)
    return profiles.with_columns(
        *(iso_8601(profiles[name]) for name in _TIMES),
        *(to_double(profiles[name]) for name in _MONEY),
        category_root_expr("favorite_category").fill_null(NONE).alias("category"),
        pl.col("favorite_brand").fill_null(NONE).alias("brand"),
    ).select("user_id", document.alias("document"))


def document_id(key: str) -> str:
    """Return the id of a document from the text that identifies it.

    A text that is too long for an id is replaced by its hash, so the same text always gives the
    same id.
    """
    data = key.encode(errors="surrogatepass")
    if len(data) <= MAX_DOCUMENT_ID_BYTES:
        return key
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def to_double(amounts: pl.Series) -> pl.Series:
    """Convert decimals to the nearest doubles, which is what an index stores.

    Args:
        amounts: Decimal.

    Returns:
        Float64, with the name of `amounts`.
    """
    largest = amounts.abs().max()
    scale = cast("pl.Decimal", amounts.dtype).scale
    if largest is not None and cast("Decimal", largest).scaleb(scale) > EXACT_FLOATS:
        # The cast would round twice: the whole number of the decimal's units, and the quotient.
        amounts = amounts.cast(pl.String)
    return amounts.cast(pl.Float64)


def iso_8601(times: pl.Series) -> pl.Series:
    """Format times as ISO 8601 in UTC, with a fraction where a time has one.

    Args:
        times: Datetime(us, UTC).

    Returns:
        String, with the name of `times`.
    """
    micros = times.dt.timestamp("us")
    if times.len() > 1 and micros.min() == micros.max() and not times.null_count():
        return iso_8601(times[:1]).new_from_index(0, times.len())
    if (micros % 1_000_000 != 0).any():
        return times.dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")
    # Joining the texts of dates and of seconds of the day takes a third of the time of formatting
    # each time.
    days = times.dt.date()
    distinct_days = days.unique().sort()
    dates = distinct_days.cast(pl.String).gather(distinct_days.search_sorted(days))
    return (dates + _times_of_day().gather(micros // 1_000_000 % 86_400)).alias(times.name)


@cache
def _times_of_day() -> pl.Series:
    """Format each second of a day, from `T00:00:00Z` to `T23:59:59Z`."""
    seconds = pl.int_range(86_400, dtype=pl.Int64)
    nanoseconds = seconds * 1_000_000_000
    return pl.select(nanoseconds.cast(pl.Time).dt.strftime("T%H:%M:%SZ")).to_series()
