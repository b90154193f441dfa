"""Which event counts the index has: the object `_state/event_metrics.parquet`."""

from __future__ import annotations

import io

import polars as pl

from customer_profiles.lake.diagnosis import UNREADABLE
from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.layout import SENT_COUNTS
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.parquet import to_parquet
from customer_profiles.profiles.event_counts import METRIC_SCHEMA, OTHER

COUNTS_FORMAT = "2"
"""The format of the documents in `event_metrics`. Those of format 1 had `OTHER` as a brand."""


def save_sent_counts(store: ObjectStore, counts: pl.DataFrame, uuid: str) -> None:
    """Note what an index has.

    Args:
        store: the lake.
        counts: `METRIC_SCHEMA`. Rows that are being sent have null `events`.
        uuid: of the index.
    """
    store.put(SENT_COUNTS, to_parquet(counts, {"index": uuid, "format": COUNTS_FORMAT}))


def load_sent_counts(store: ObjectStore, uuid: str) -> pl.DataFrame:
    """Return what an index has; nothing where it was made anew, or where nobody knows it.

    Returns:
        `METRIC_SCHEMA`. Rows that have to be sent again have null `events`.
    """
    nothing = pl.DataFrame(schema=METRIC_SCHEMA)
    try:
        stored = store.get(SENT_COUNTS)
        if stored is None:
            return nothing
        metadata = pl.read_parquet_metadata(io.BytesIO(stored.data))
        if metadata.get("index") != uuid:
            return nothing
        # Older versions stored narrower sums.
        sent = pl.read_parquet(io.BytesIO(stored.data)).cast(pl.Schema(METRIC_SCHEMA))
    except (*UNREADABLE, DamagedObjectError):
        # All counts are sent again.
        return nothing
    if metadata.get("format") == COUNTS_FORMAT:
        return sent
    return sent.with_columns(pl.when(pl.col("brand") != OTHER).then("events"))
