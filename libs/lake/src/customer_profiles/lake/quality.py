"""Data-quality statistics in the lake: one object per micro-batch, one per bucket.

`quality/batches/000012.parquet` is written before micro-batch 12 is committed, so a committed
micro-batch always has its statistics. Landing it again writes the same content. Readers ignore
micro-batches that are not committed. `quality/through.parquet` is the sum of older micro-batches.
`quality/bucket=07/days.parquet` is written before the bucket's profiles, as its event counts are.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

import polars as pl

from customer_profiles.lake.checksums import THROUGH_BATCH
from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.layout import (
    QUALITY_BATCHES_PREFIX,
    QUALITY_THROUGH,
    quality_batch_name,
    quality_days_name,
)
from customer_profiles.lake.object_store import ObjectInfo, ObjectStore, StoredObject
from customer_profiles.lake.parquet import to_parquet

INCOMPLETE = "incomplete"
"""The attribute of a sum that lacks micro-batches without statistics."""
WATERMARK = "watermark"
"""The attribute with the watermark after a micro-batch; ISO 8601, empty if there is none."""
STATISTICS_SCHEMA = pl.Schema(
    {
        "day": pl.Date(),
        "source": pl.String(),
        "partition": pl.Int32(),
        "metric": pl.String(),
        "key": pl.String(),
        "value": pl.Int64(),
    }
)
"""`quality.statistics.STATISTICS_SCHEMA`, as it is stored."""
CUSTOMER_SCHEMA = pl.Schema({"day": pl.Date(), "metric": pl.String(), "value": pl.Int64()})
"""`quality.customers.CUSTOMER_SCHEMA`, as it is stored."""
UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What bytes can cause that are no Parquet file, or one of another kind."""
AddUp = Callable[[Iterable[pl.DataFrame]], pl.DataFrame]
"""`quality.statistics.add_up`."""


class LakeStatistics(NamedTuple):
    """The statistics of all committed micro-batches.

    An object that is damaged counts as missing: statistics hold up no run.
    """

    rows: list[pl.DataFrame]
    """To be added up."""
    missing: list[int]
    """Committed micro-batches without statistics: those of a version that had none,
    or whose object was lost or damaged. -1 stands for an unknown number of old ones."""


def write_batch(
    store: ObjectStore, number: int, statistics: pl.DataFrame, watermark: datetime | None
) -> None:
    """Write the statistics of one micro-batch. It replaces what an earlier attempt wrote."""
    text = watermark.isoformat() if watermark else ""
    store.put(quality_batch_name(number), to_parquet(statistics), attributes={WATERMARK: text})


def read_batch(store: ObjectStore, number: int) -> pl.DataFrame | None:
    """Return the statistics of one micro-batch; None if it has none, or if they are damaged."""
    found = _read(store, quality_batch_name(number), STATISTICS_SCHEMA)
    return found[1] if found else None


def read_watermark(store: ObjectStore, number: int) -> datetime | None:
    """Return the watermark after a micro-batch; None if nobody noted one."""
    info = _head(store, quality_batch_name(number)) if number else None
    if info is None:
        info = _head(store, QUALITY_THROUGH)
        if info is None or _through(info) != number:
            return None
    with suppress(ValueError):
        return datetime.fromisoformat(info.attributes.get(WATERMARK, ""))
    return None


def read_statistics(
    store: ObjectStore, through_batch: int, committed: Iterable[int]
) -> LakeStatistics:
    """Read the statistics of all committed micro-batches.

    Args:
        store: the lake.
        through_batch: the batch log's checkpoint: all micro-batches up to it are committed.
        committed: the micro-batches after it that are committed.
    """
    sums = _read(store, QUALITY_THROUGH, STATISTICS_SCHEMA)
    summed = _through(sums[0]) if sums else 0
    names = store.list_objects(QUALITY_BATCHES_PREFIX)
    parts = [sums[1]] if sums else []
    missing = [-1] if sums and sums[0].attributes.get(INCOMPLETE) else []
    # Micro-batches that the log has checkpointed may still have objects of their own here.
    for number in sorted({*range(summed + 1, through_batch + 1), *committed}):
        if number <= summed:
            continue
        name = quality_batch_name(number)
        found = _read(store, name, STATISTICS_SCHEMA) if name in names else None
        if found is None:
            missing.append(number)
        else:
            parts.append(found[1])
    return LakeStatistics(parts, missing)


def checkpoint(store: ObjectStore, through_batch: int, add_up: AddUp) -> None:
    """Replace the objects of all micro-batches up to one by their sum.

    The sum is written before they are deleted, and says which ones it includes. So a run that is
    killed in between neither loses nor doubles anything.
    """
    watermark = read_watermark(store, through_batch)
    sums = _read(store, QUALITY_THROUGH, STATISTICS_SCHEMA)
    summed = _through(sums[0]) if sums else 0
    numbers = [
        number
        for name in store.list_objects(QUALITY_BATCHES_PREFIX)
        if 0 < (number := _number(name)) <= through_batch
    ]
    if through_batch > summed:
        known = read_statistics(store, through_batch, ())
        parts = known.rows
        attributes = {
            THROUGH_BATCH: str(through_batch),
            WATERMARK: watermark.isoformat() if watermark else "",
        }
        if known.missing:
            attributes[INCOMPLETE] = "yes"
        store.put(QUALITY_THROUGH, to_parquet(add_up(parts)), attributes=attributes)
    for number in numbers:
        store.delete(quality_batch_name(number))


def write_sum(store: ObjectStore, through_batch: int, statistics: pl.DataFrame) -> None:
    """Replace the statistics of all micro-batches up to one by a sum that was counted again."""
    watermark = read_watermark(store, through_batch)
    attributes = {
        THROUGH_BATCH: str(through_batch),
        WATERMARK: watermark.isoformat() if watermark else "",
    }
    store.put(QUALITY_THROUGH, to_parquet(statistics), attributes=attributes)
    for name in store.list_objects(QUALITY_BATCHES_PREFIX):
        if 0 < _number(name) <= through_batch:
            store.delete(name)


def write_days(store: ObjectStore, bucket: int, days: pl.DataFrame, through_batch: int) -> None:
    """Write a bucket's statistics of customers by day (`quality.customers.CUSTOMER_SCHEMA`)."""
    attributes = {THROUGH_BATCH: str(through_batch)}
    store.put(quality_days_name(bucket), to_parquet(days), attributes=attributes)


def read_days(store: ObjectStore, buckets: int) -> list[pl.DataFrame]:
    """Read the statistics of customers of all buckets, to be added up."""
    found = (_read(store, quality_days_name(bucket), CUSTOMER_SCHEMA) for bucket in range(buckets))
    return [each[1] for each in found if each]


def _head(store: ObjectStore, name: str) -> ObjectInfo | None:
    with suppress(DamagedObjectError):
        return store.head(name)
    return None


def _read(
    store: ObjectStore, name: str, schema: pl.Schema
) -> tuple[StoredObject, pl.DataFrame] | None:
    """Read an object and its rows; None for one that is missing, or that cannot be read.

    Objects that another program wrote have no checksum, and may hold anything.
    """
    with suppress(DamagedObjectError, OSError, ValueError, *UNREADABLE):
        stored = store.get(name)
        if stored is not None:
            rows = pl.read_parquet(io.BytesIO(stored.data))
            return stored, rows.select(list(schema)).cast(schema)
    return None


def _through(stored: StoredObject | ObjectInfo) -> int:
    return int(stored.attributes.get(THROUGH_BATCH, 0))


def _number(name: str) -> int:
    text = name.removeprefix(QUALITY_BATCHES_PREFIX).removesuffix(".parquet")
    return int(text) if text.isascii() and text.isdigit() else 0
