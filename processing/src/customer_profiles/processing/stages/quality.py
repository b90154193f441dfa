"""The statistics of data quality that a run leaves in the lake."""

from __future__ import annotations

import io
from collections.abc import Iterable

import polars as pl

from customer_profiles.common.clock import moment_of
from customer_profiles.lake import quality
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.quality.statistics import add_up, advance, arrived_rows, late_rows


def save_statistics(
    store: ObjectStore, number: int, parts: Iterable[bytes], oldest_ms: int | None
) -> None:
    """Write what a micro-batch's rows add up to, before the micro-batch is committed.

    Args:
        store: the lake.
        number: the micro-batch.
        parts: the statistics of its offset ranges, as Parquet.
        oldest_ms: when its oldest message was produced; None without messages.
    """
    batch = add_up(pl.read_parquet(io.BytesIO(part)) for part in parts)
    watermark = quality.read_watermark(store, number - 1)
    statistics = [batch, late_rows(batch, watermark)]
    if oldest_ms is not None:
        arrived = moment_of(oldest_ms)
        statistics.append(arrived_rows(batch, arrived))
        watermark = advance(watermark, batch, arrived)
    quality.write_batch(store, number, add_up(statistics), watermark)


def checkpoint_statistics(store: ObjectStore, through_batch: int) -> None:
    """Replace the statistics of all micro-batches up to one by their sum."""
    quality.checkpoint(store, through_batch, add_up)
