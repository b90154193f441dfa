"""However events come and runs end: incremental profiles = rebuilt profiles = an independent query."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from contracts import COLUMNS, event_id
from processing import archive
from processing.errors import Superseded
from processing.lake import metrics_object, profile_object, to_parquet
from processing.parse import EVENT_SCHEMA
from processing.profiles import PROFILE_SCHEMA
from processing.segments import read_segments
from processing.tasks import Work, land_bucket, profile_bucket, read_profiles
from tests.support import MemoryLake, oracle

SEGMENTS = read_segments()
BEGIN = datetime(2020, 9, 24, tzinfo=UTC)
RUN_FIELDS = ("profile_generated_at", "segments_version")

ROWS = st.fixed_dictionaries(
    {
        "event_time": st.integers(0, 200 * 24 * 3600).map(lambda second: BEGIN + timedelta(seconds=second)),
        "event_type": st.sampled_from(["view", "cart", "purchase", "remove_from_cart"]),
        "product_id": st.sampled_from(["1", "2"]),
        "category_id": st.sampled_from(["", "3"]),
        "category_code": st.sampled_from(["", "a", "a.b", "b"]),
        "brand": st.sampled_from(["", "x", "y", "z"]),
        "price": st.integers(0, 90_000).map(lambda cents: f"{cents // 100}.{cents % 100:02d}"),
        "user_id": st.sampled_from(["1", "2", "10", "1515915625519388267"]),
        "user_session": st.sampled_from(["s", "t", "u"]),
    }
)


ROW = {**dict.fromkeys(COLUMNS, "1"), "event_time": BEGIN, "event_type": "view"}


def as_landed(rows: list[dict[str, Any]], begin: int) -> pl.DataFrame:
    """Rows as `parse` gives them, with offsets from `begin` on."""
    found = []
    for place, row in enumerate(rows):
        values = {**row, "event_time": row["event_time"].strftime("%Y-%m-%dT%H:%M:%SZ")}
        columns = {name: row[name] or None for name in COLUMNS}
        place_in_topic = {"kafka_partition": 0, "kafka_offset": begin + place}
        found.append({**columns, "event_id": event_id(values), **place_in_topic})
    typed = pl.DataFrame(found, schema={**EVENT_SCHEMA, "price": pl.String})
    return typed.with_columns(pl.col("price").str.to_decimal(scale=4).cast(pl.Decimal(18, 4)))


def write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in rows:
            writer.writerow({**row, "event_time": row["event_time"].strftime("%Y-%m-%d %H:%M:%S UTC")})


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_incremental_equals_rebuild_equals_oracle(
    data: st.DataObject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So small that a few events make several slices, and a few batches are joined.
    monkeypatch.setattr(archive, "SLICE_EVENTS", 5)
    monkeypatch.setattr(archive, "JOIN_AT", 3)
    distinct = data.draw(st.lists(ROWS, min_size=1, max_size=40))
    repeats = data.draw(st.lists(st.sampled_from(distinct), max_size=10))
    rows = data.draw(st.permutations(distinct + repeats))
    edges = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=6)))
    cuts = [rows[begin:end] for begin, end in zip([0, *edges], [*edges, len(rows)], strict=True)]
    batches = [batch for batch in cuts if batch]
    lake = MemoryLake()
    offset = 0
    for number, batch in enumerate(batches, 1):
        land_bucket(lake, number, 0, [to_parquet(as_landed(batch, offset))])
        offset += len(batch)
        if number == len(batches) or data.draw(st.booleans(), label="run"):
            work = Work(number, SEGMENTS, BEGIN, None)
            for writes in data.draw(st.lists(st.integers(0, 5), max_size=2), label="killed after"):
                lake.stop_after(writes)
                with suppress(InterruptedError):
                    profile_bucket(lake, None, 0, work)
                lake.stop_after(None)
            profile_bucket(lake, None, 0, work)
    incremental, _, through = read_profiles(lake, 0)
    counted = read_metrics(lake)
    result = profile_bucket(lake, None, 0, Work(through, SEGMENTS, BEGIN, None, rebuild=True))
    rebuilt, _, _ = read_profiles(lake, 0)
    assert_frame_equal(incremental, rebuilt, check_exact=True)
    assert result.updated == rebuilt.height == len({row["user_id"] for row in rows})

    write_csv(rows, tmp_path / "rows.csv")
    expected = oracle(tmp_path / "rows.csv")
    ours = rebuilt.drop(RUN_FIELDS).with_columns(pl.col("first_seen", "last_seen").dt.replace_time_zone(None))
    assert ours.columns == [name for name in PROFILE_SCHEMA if name not in RUN_FIELDS]
    types = {name: expected.schema[name] for name in ours.columns}
    assert_frame_equal(ours.cast(dict(types)), expected.select(ours.columns), check_exact=True)

    assert_frame_equal(counted, read_metrics(lake), check_exact=True)
    days = counted.filter(pl.col("granularity") == "day").drop("granularity")
    assert days.with_columns(pl.col("time").dt.replace_time_zone(None)).rows() == by_day(tmp_path / "rows.csv", ours)


def read_metrics(lake: MemoryLake) -> pl.DataFrame:
    return pl.read_parquet(lake.objects[metrics_object(0)])


def by_day(path: Path, profiles: pl.DataFrame) -> list[tuple[Any, ...]]:
    """The metrics by day as DuckDB counts them."""
    connection = duckdb.connect()
    connection.register("segments", profiles.select("user_id", "customer_segment").to_arrow())
    return connection.sql(
        f"""
        with rows as (select distinct * replace (price::decimal(18, 4) as price) from
            read_csv('{path}', all_varchar = true, header = true))
        select date_trunc('day', strptime(event_time, '%Y-%m-%d %H:%M:%S UTC')) as day, event_type,
            coalesce(split_part(category_code, '.', 1), '(none)') as category, coalesce(brand, '(none)') as brand,
            customer_segment, count(*), sum(case when event_type = 'purchase' then price else 0 end)::decimal(18, 4)
        from rows join segments using (user_id) group by all order by all
        """
    ).fetchall()


def test_a_run_with_nothing_new_writes_nothing() -> None:
    lake = MemoryLake()
    land_bucket(lake, 1, 0, [to_parquet(as_landed([ROW], 0))])
    assert profile_bucket(lake, None, 0, Work(1, SEGMENTS, BEGIN, None)).updated == 1
    lake.stop_after(0)
    assert profile_bucket(lake, None, 0, Work(1, SEGMENTS, BEGIN, None)).updated == 0


def test_a_run_that_was_overtaken_overwrites_nothing() -> None:
    lake = MemoryLake()
    land_bucket(lake, 1, 0, [to_parquet(as_landed([ROW], 0))])

    class Overtaken(MemoryLake):
        """Another run writes the same profiles just before this one does."""

        def put(self, name: str, data: bytes, headers: Mapping[str, str] | None = None) -> None:
            if name == profile_object(0):
                profile_bucket(lake, None, 0, Work(1, SEGMENTS, BEGIN, None))
            super().put(name, data, headers)

    late = Overtaken()
    late.objects = lake.objects
    with pytest.raises(Superseded):
        profile_bucket(late, None, 0, Work(1, SEGMENTS, BEGIN + timedelta(days=1), None))
    assert read_profiles(lake, 0)[0]["profile_generated_at"].to_list() == [BEGIN]
