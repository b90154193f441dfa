"""The statistics of micro-batches in the lake, and their sum."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime

import polars as pl
import pytest

from customer_profiles.lake import quality
from customer_profiles.lake.layout import QUALITY_THROUGH, quality_batch_name
from customer_profiles.quality.customers import CUSTOMER_SCHEMA
from customer_profiles.quality.statistics import STATISTICS_SCHEMA, add_up
from tests.support import MemoryObjectStore

pytestmark = pytest.mark.unit
WATERMARK = datetime(2021, 1, 5, 12, tzinfo=UTC)


def rows(count: int) -> pl.DataFrame:
    values = [(date(2021, 1, 5), "shop", 0, "rows", "", count)]
    return pl.DataFrame(values, schema=STATISTICS_SCHEMA, orient="row")


def store_with(*counts: int) -> MemoryObjectStore:
    store = MemoryObjectStore()
    for number, count in enumerate(counts, 1):
        quality.write_batch(store, number, rows(count), WATERMARK)
    return store


def total(store: MemoryObjectStore, through: int, *committed: int) -> int:
    read = quality.read_statistics(store, through, committed)
    assert read.missing == []
    return int(add_up(read.rows)["value"].sum())


def test_micro_batches_that_are_not_committed_do_not_count() -> None:
    assert total(store_with(1, 10, 100), 0, 1, 2) == 11


@pytest.mark.parametrize("writes", range(5))
def test_an_interrupted_checkpoint_neither_loses_nor_doubles(writes: int) -> None:
    store = store_with(1, 10, 100)
    store.stop_after(writes)
    with suppress(InterruptedError):
        quality.checkpoint(store, 2, add_up)
    store.stop_after(None)
    assert total(store, 2, 3) == 111
    quality.checkpoint(store, 2, add_up)
    assert total(store, 2, 3) == 111
    assert set(store.list_objects("quality/")) == {QUALITY_THROUGH, quality_batch_name(3)}
    assert quality.read_watermark(store, 2) == WATERMARK


def test_a_lost_or_old_micro_batch_is_named_and_holds_nothing_up() -> None:
    store = store_with(1, 10)
    store.delete(quality_batch_name(1))
    assert quality.read_statistics(store, 0, (1, 2)).missing == [1]
    quality.checkpoint(store, 2, add_up)
    assert quality.read_statistics(store, 2, ()).missing == [-1]


@pytest.mark.parametrize("content", [b"", b"no Parquet", b"PAR1" * 9])
def test_what_another_program_wrote_counts_as_missing(content: bytes) -> None:
    store = store_with(1, 10)
    store.objects[quality_batch_name(1)] = content
    store.attributes[quality_batch_name(1)] = {}
    assert quality.read_batch(store, 1) is None
    assert quality.read_statistics(store, 0, (1, 2)).missing == [1]


def test_statistics_are_stored_as_they_are_counted() -> None:
    assert pl.Schema(STATISTICS_SCHEMA) == quality.STATISTICS_SCHEMA
    assert pl.Schema(CUSTOMER_SCHEMA) == quality.CUSTOMER_SCHEMA
