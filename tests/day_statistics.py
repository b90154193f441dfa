"""The statistics of data quality in a real lake, compared with what DuckDB computes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
from polars.testing import assert_frame_equal
from pyarrow.fs import FileSelector, S3FileSystem

CUSTOMERS = ("events", "customers", "sessions", "buyers", "purchases", "revenue", "new_customers")


def check_statistics(lake: S3FileSystem, csv: Path, sent: Iterable[bytes], folder: Path) -> None:
    """Check the statistics of every day.

    Those of customers must be what the CSV says, each row once. Those of rows must be what the
    messages say, repeats too.

    Args:
        lake: the files of the lake.
        csv: the rows that were ingested.
        sent: all events in the topic, as JSON.
        folder: for a file with them.
    """
    days = _objects(lake, "bucket=").group_by("day", "metric").agg(pl.col("value").sum())
    stored = days.filter(pl.col("metric").is_in(CUSTOMERS)).sort("day", "metric")
    expected = _of_customers(csv)
    columns = ["day", "metric", "value"]
    assert_frame_equal(stored.select(columns), expected.select(columns), check_exact=True)
    lines = folder / "sent.ndjson"
    lines.write_bytes(b"\n".join(sent) + b"\n")
    rows = pl.concat([_objects(lake, "batches/"), _objects(lake, "through")])
    counted = (
        rows.filter(pl.col("metric").is_in(["types", "nulls"]))
        .group_by("day", "metric", "key")
        .agg(pl.col("value").sum())
        .sort("day", "metric", "key")
    )
    columns = ["day", "metric", "key", "value"]
    assert_frame_equal(counted.select(columns), _of_rows(lines), check_exact=True)
    total = int(rows.filter(pl.col("metric") == "rows")["value"].sum())
    assert total == int(days.filter(pl.col("metric") == "stored")["value"].sum())
    assert total == int(counted.filter(pl.col("metric") == "types")["value"].sum())


def _objects(lake: S3FileSystem, prefix: str) -> pl.DataFrame:
    found = lake.get_file_info(FileSelector("data-lake/quality", recursive=True))
    frames = []
    for info in found:
        name = info.path.removeprefix("data-lake/quality/")
        if name.startswith(prefix) and name.endswith(".parquet"):
            with lake.open_input_file(info.path) as file:
                frames.append(pl.DataFrame(pl.from_arrow(pq.read_table(file))))
    if not frames:
        schema = {"day": pl.Date(), "source": pl.String(), "partition": pl.Int32()}
        text = {"metric": pl.String(), "key": pl.String(), "value": pl.Int64()}
        return pl.DataFrame(schema={**schema, **text})
    return pl.concat(frames)


def _of_customers(csv: Path) -> pl.DataFrame:
    by_day = duckdb.sql(
        f"""
        with rows as (
            select distinct * replace (price::decimal(18, 4) as price),
                strptime(event_time, '%Y-%m-%d %H:%M:%S UTC')::date as day
            from read_csv('{csv}', all_varchar = true, header = true)
            where user_session is not null
        ),
        people as (
            select day, user_id, count(*) as events, count(distinct user_session) as sessions,
                count(*) filter (event_type = 'purchase') as bought,
                coalesce(sum(price) filter (event_type = 'purchase'), 0) as paid,
                day = min(day) over (partition by user_id) as is_new
            from rows group by day, user_id
        )
        select day, sum(events) as events, count(*) as customers, sum(sessions) as sessions,
            count(*) filter (bought > 0) as buyers, sum(bought) as purchases,
            sum(paid) * 10000 as revenue, count(*) filter (is_new) as new_customers
        from people group by day
        """
    ).pl()
    return (
        by_day.with_columns(pl.exclude("day").cast(pl.Int64))
        .unpivot(index="day", variable_name="metric")
        .sort("day", "metric")
    )


def _of_rows(lines: Path) -> pl.DataFrame:
    nulls = " union all ".join(
        f"select day, 'nulls' as metric, '{name}' as key, count(*) as value from sent "
        f"where {name} is null group by day"
        for name in ("category_id", "category_code", "brand")
    )
    return (
        duckdb.sql(
            f"""
            with sent as (
                select event_time[:10]::date as day, event_type, category_id, category_code, brand
                from read_json('{lines}', format = 'newline_delimited', columns = {{
                    event_time: 'varchar', event_type: 'varchar', category_id: 'varchar',
                    category_code: 'varchar', brand: 'varchar'}})
            )
            select day, 'types' as metric, event_type as key, count(*) as value from sent
            group by day, event_type union all {nulls}
            """
        )
        .pl()
        .with_columns(pl.col("value").cast(pl.Int64))
        .sort("day", "metric", "key")
    )
