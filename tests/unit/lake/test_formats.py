"""Profiles and event counts that an older version stored get the current format."""

from __future__ import annotations

import io
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet
import pytest
from polars.testing import assert_frame_equal

from customer_profiles.lake.formats import convert_objects
from customer_profiles.lake.layout import event_counts_name, profiles_name
from customer_profiles.lake.parquet import to_parquet
from customer_profiles.lake.profiles import read_profiles
from customer_profiles.profiles.aggregate import build_profiles
from customer_profiles.profiles.event_counts import METRIC_SCHEMA, add_counts, count_events
from customer_profiles.profiles.schema import PROFILE_SCHEMA
from customer_profiles.profiles.segments import read_segments
from tests.support import MemoryObjectStore, event, events

BUCKETS = range(3)
OLD_TYPES: dict[str, Any] = {"total_revenue": pl.Decimal(18, 2), "revenue": pl.Decimal(18, 4)}


def bucket(number: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the profiles and the event counts of one bucket."""
    rows = events(
        event(user_id=str(number)),
        event(event_type="purchase", user_id=str(number), price=Decimal("12.3401")),
    )
    profiles = build_profiles(rows, read_segments(), datetime(2026, 1, 1, tzinfo=UTC))
    return profiles, add_counts([count_events(rows, profiles)])


def old_lake() -> MemoryObjectStore:
    store = MemoryObjectStore()
    for number in BUCKETS:
        for name, frame in zip(
            (profiles_name(number), event_counts_name(number)), bucket(number), strict=True
        ):
            types = {column: OLD_TYPES[column] for column in frame.columns if column in OLD_TYPES}
            store.put(name, to_parquet(frame.cast(types), {"through_batch": "7"}))
    return store


def check(store: MemoryObjectStore) -> None:
    for number in BUCKETS:
        profiles, counts = bucket(number)
        assert_frame_equal(read_profiles(store, number).profiles, profiles)
        stored_types = [
            (profiles_name(number), profiles, PROFILE_SCHEMA),
            (event_counts_name(number), counts, METRIC_SCHEMA),
        ]
        for name, frame, schema in stored_types:
            stored = io.BytesIO(store.objects[name])
            assert pl.read_parquet_schema(stored) == schema
            assert pl.read_parquet_metadata(stored)["through_batch"] == "7"
            assert_frame_equal(pl.read_parquet(stored), frame)


def test_profiles_of_the_older_format_can_be_read() -> None:
    assert_frame_equal(read_profiles(old_lake(), 1).profiles, bucket(1)[0])


def test_all_objects_are_converted_once() -> None:
    store = old_lake()
    assert convert_objects(store) == 2 * len(BUCKETS)
    check(store)
    assert convert_objects(store) == 0
    assert convert_objects(MemoryObjectStore()) == 0


@pytest.mark.parametrize("writes", range(2 * len(BUCKETS)))
def test_an_interrupted_conversion_goes_on(writes: int) -> None:
    store = old_lake()
    store.stop_after(writes)
    with suppress(InterruptedError):
        convert_objects(store)
    store.stop_after(None)
    assert convert_objects(store) == 2 * len(BUCKETS) - writes
    check(store)


def test_an_object_with_other_columns_stays_as_it_is() -> None:
    store = MemoryObjectStore()
    data = to_parquet(pl.DataFrame({"user_id": ["1"]}))
    store.put(profiles_name(0), data)
    assert convert_objects(store) == 0
    assert store.objects == {profiles_name(0): data}


def test_every_reader_of_a_whole_folder_reads_sums_of_any_size(tmp_path: Path) -> None:
    store = old_lake()
    convert_objects(store)
    large = Decimal("100999999999998989999999999999.99")
    profiles = bucket(0)[0].with_columns(
        pl.lit(large, PROFILE_SCHEMA["total_revenue"]).alias("total_revenue")
    )
    store.put(profiles_name(0), to_parquet(profiles))
    for name, data in store.objects.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    expected = [large, Decimal("12.34"), Decimal("12.34")]
    pattern = f"{tmp_path}/customer_profiles/*/profiles.parquet"
    scanned = pl.scan_parquet(pattern).sort("user_id").collect()
    assert scanned["total_revenue"].to_list() == expected
    query = f"select total_revenue from '{pattern}' order by user_id"
    assert [revenue for (revenue,) in duckdb.sql(query).fetchall()] == expected
    table = pyarrow.parquet.read_table(tmp_path / "customer_profiles").sort_by("user_id")
    assert table["total_revenue"].to_pylist() == expected
    assert table.to_pandas()["total_revenue"].to_list() == expected
    counted = duckdb.sql(f"select sum(revenue) from '{tmp_path}/event_metrics/*/*.parquet'")
    assert counted.fetchall() == [(6 * Decimal("12.3401"),)]
