"""Incremental profiles equal rebuilt ones and an independent query, however events arrive."""

from __future__ import annotations

import csv
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from customer_profiles.contracts import COLUMNS, event_id
from customer_profiles.lake import compaction
from customer_profiles.lake import events as event_files
from customer_profiles.lake.errors import WriteConflictError
from customer_profiles.lake.events import EVENT_SCHEMA
from customer_profiles.lake.layout import event_counts_name, profiles_name
from customer_profiles.lake.parquet import to_parquet
from customer_profiles.lake.profiles import read_profiles
from customer_profiles.processing.tasks.land import land_bucket
from customer_profiles.processing.tasks.profile import ProfileTask, update_bucket
from customer_profiles.profiles.schema import PROFILE_SCHEMA
from customer_profiles.profiles.segments import read_segments
from customer_profiles.search.documents import documents
from customer_profiles.search.profile_index import ProfileIndex
from tests.support import MemoryObjectStore, oracle
from tests.unit.processing.fakes import FakeProfileIndex

SEGMENTS = read_segments()
START = datetime(2020, 9, 24, tzinfo=UTC)
RUN_FIELDS = ("profile_generated_at", "segments_version")

ROWS = st.fixed_dictionaries(
    {
        "event_time": st.integers(0, 200 * 24 * 3600).map(
            lambda second: START + timedelta(seconds=second)
        ),
        "event_type": st.sampled_from(["view", "cart", "purchase", "remove_from_cart"]),
        "product_id": st.sampled_from(["1", "2"]),
        "category_id": st.sampled_from(["", "3"]),
        "category_code": st.sampled_from(["", "a", "a.b", "b", ".b"]),
        "brand": st.sampled_from(["", "x", "y", "z"]),
        "price": st.integers(0, 90_000).map(lambda cents: f"{cents // 100}.{cents % 100:02d}"),
        "user_id": st.sampled_from(["1", "2", "10", "1515915625519388267"]),
        "user_session": st.sampled_from(["s", "t", "u"]),
    }
)


ROW = {**dict.fromkeys(COLUMNS, "1"), "event_time": START, "event_type": "view"}


def as_landed(rows: list[dict[str, Any]], first_offset: int) -> pl.DataFrame:
    """Return rows as `parse` does, with offsets that begin at `first_offset`."""
    landed = []
    for number, row in enumerate(rows):
        values = {**row, "event_time": row["event_time"].strftime("%Y-%m-%dT%H:%M:%SZ")}
        columns = {name: row[name] or None for name in COLUMNS}
        position = {"kafka_partition": 0, "kafka_offset": first_offset + number}
        landed.append({**columns, "event_id": event_id(values), **position})
    typed = pl.DataFrame(landed, schema={**EVENT_SCHEMA, "price": pl.String})
    return typed.with_columns(pl.col("price").str.to_decimal(scale=4).cast(pl.Decimal(18, 4)))


def write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {**row, "event_time": row["event_time"].strftime("%Y-%m-%d %H:%M:%S UTC")}
            )


@pytest.mark.no_cover
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_incremental_profiles_equal_rebuilt_ones_and_the_oracle(
    data: st.DataObject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Limits so small that a few events fill several slices and a few files are compacted.
    monkeypatch.setattr(event_files, "SLICE_EVENTS", 5)
    monkeypatch.setattr(compaction, "MIN_COMPACTED_FILES", 3)
    distinct = data.draw(st.lists(ROWS, min_size=1, max_size=40))
    repeats = data.draw(st.lists(st.sampled_from(distinct), max_size=10))
    rows = data.draw(st.permutations(distinct + repeats))
    edges = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=6)))
    parts = [rows[start:end] for start, end in zip([0, *edges], [*edges, len(rows)], strict=True)]
    batches = [batch for batch in parts if batch]
    store, index = MemoryObjectStore(), FakeProfileIndex()
    ref, profile_index = index.ensure(), cast("ProfileIndex", index)
    offset = 0
    for number, batch in enumerate(batches, 1):
        land_bucket(store, number, 0, [to_parquet(as_landed(batch, offset))])
        offset += len(batch)
        if number == len(batches) or data.draw(st.booleans(), label="run"):
            task = ProfileTask(number, SEGMENTS, START, ref)
            for writes in data.draw(st.lists(st.integers(0, 5), max_size=2), label="killed after"):
                store.stop_after(writes)
                with suppress(InterruptedError):
                    update_bucket(store, profile_index, 0, task)
                store.stop_after(None)
            index.unavailable = number < len(batches) and data.draw(st.booleans(), label="down")
            update_bucket(store, profile_index, 0, task)
    incremental, _, through_batch = _profiles(store)
    event_counts = read_event_counts(store)
    result = update_bucket(
        store, None, 0, ProfileTask(through_batch, SEGMENTS, START, None, rebuild=True)
    )
    rebuilt, _, _ = _profiles(store)
    assert_frame_equal(incremental, rebuilt, check_exact=True)
    assert result.updated == rebuilt.height == len({row["user_id"] for row in rows})

    write_csv(rows, tmp_path / "rows.csv")
    expected = oracle(tmp_path / "rows.csv")
    actual = rebuilt.drop(RUN_FIELDS).with_columns(
        pl.col("first_seen", "last_seen").dt.replace_time_zone(None)
    )
    assert actual.columns == [name for name in PROFILE_SCHEMA if name not in RUN_FIELDS]
    types = {name: expected.schema[name] for name in actual.columns}
    assert_frame_equal(actual.cast(dict(types)), expected.select(actual.columns), check_exact=True)
    days = expected.select("user_id", "event_days")
    wanted = documents(rebuilt.join(days, on="user_id")).iter_rows()
    indexed = {user_id: document for user_id, (_, document) in index.stored[ref.name].items()}
    assert indexed == {user_id: json.loads(text) for user_id, text in wanted}

    assert_frame_equal(event_counts, read_event_counts(store), check_exact=True)
    days = event_counts.filter(pl.col("granularity") == "day").drop("granularity")
    assert days.with_columns(pl.col("time").dt.replace_time_zone(None)).rows() == counts_by_day(
        tmp_path / "rows.csv", actual
    )


def _profiles(store: MemoryObjectStore) -> tuple[pl.DataFrame, str | None, int]:
    stored = read_profiles(store, 0)
    return stored.profiles, stored.etag, stored.through_batch


def read_event_counts(store: MemoryObjectStore) -> pl.DataFrame:
    return pl.read_parquet(store.objects[event_counts_name(0)])


def counts_by_day(path: Path, profiles: pl.DataFrame) -> list[tuple[Any, ...]]:
    """Count the events by day with DuckDB."""
    connection = duckdb.connect()
    connection.register("segments", profiles.select("user_id", "customer_segment").to_arrow())
    return connection.sql(
        f"""
        with rows as (select distinct * replace (price::decimal(18, 4) as price) from
            read_csv('{path}', all_varchar = true, header = true))
        select date_trunc('day', strptime(event_time, '%Y-%m-%d %H:%M:%S UTC')) as day, event_type,
            coalesce(nullif(split_part(category_code, '.', 1), ''), '(none)') as category,
            coalesce(brand, '(none)') as brand,
            customer_segment, count(*),
            sum(case when event_type = 'purchase' then price else 0 end)::decimal(18, 4)
        from rows join segments using (user_id) group by all order by all
        """
    ).fetchall()


def test_a_run_with_nothing_new_writes_nothing() -> None:
    store = MemoryObjectStore()
    land_bucket(store, 1, 0, [to_parquet(as_landed([ROW], 0))])
    assert update_bucket(store, None, 0, ProfileTask(1, SEGMENTS, START, None)).updated == 1
    store.stop_after(0)
    assert update_bucket(store, None, 0, ProfileTask(1, SEGMENTS, START, None)).updated == 0


def test_a_run_does_not_overwrite_what_another_run_wrote_first() -> None:
    store = MemoryObjectStore()
    land_bucket(store, 1, 0, [to_parquet(as_landed([ROW], 0))])

    class RacingStore(MemoryObjectStore):
        """A store in which another run writes the same profiles just before this one does."""

        def put(self, name: str, data: bytes, **options: Any) -> str:
            if name == profiles_name(0):
                update_bucket(store, None, 0, ProfileTask(1, SEGMENTS, START, None))
            return super().put(name, data, **options)

    racing_store = RacingStore()
    racing_store.objects = store.objects
    racing_store.attributes = store.attributes
    with pytest.raises(WriteConflictError):
        update_bucket(
            racing_store, None, 0, ProfileTask(1, SEGMENTS, START + timedelta(days=1), None)
        )
    assert read_profiles(store, 0).profiles["profile_generated_at"].to_list() == [START]
