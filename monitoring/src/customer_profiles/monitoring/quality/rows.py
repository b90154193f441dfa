"""The rows behind a value: `make quality SHOW=null_share/brand@2021-01-05`."""

from __future__ import annotations

import io
import re
from datetime import date

import polars as pl

from customer_profiles.common.errors import PipelineError
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.events import EventPartition
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.quality.checks import MEASURES
from customer_profiles.quality.history import Series

SHOWN_ROWS = 20
_NAME = re.compile(r"([a-z_]+)(?:/([^+@]+))?(?:\+(.+))?@(\d{4}-\d\d-\d\d)")
COLUMNS = ["event_time", "event_type", "category_code", "brand", "price", "user_id", "source"]


def parse_name(text: str) -> tuple[Series, date]:
    """Read what `quality.messages.series_id` wrote.

    Raises:
        PipelineError: it is no name of a value.
    """
    match = _NAME.fullmatch(text)
    if match is None or match[1] not in MEASURES:
        raise PipelineError(
            f"{text} names no value. Write CHECK/FIELD@DAY, such as null_share/brand@2021-01-05.\n"
            "`make quality` lists them."
        )
    try:
        return Series(match[1], match[2] or "", match[3] or ""), date.fromisoformat(match[4])
    except ValueError as error:
        raise PipelineError(f"{match[4]} is no day") from error


def find_rows(store: ObjectStore, series: Series, day: date) -> pl.DataFrame:
    """Return the rows that a value is about, the most telling ones first.

    Returns:
        `COLUMNS` and, for repeats and customers, how many there are; at most `SHOWN_ROWS` rows.
    """
    log = BatchLog(store)
    parts: list[pl.DataFrame] = []
    for bucket in range(log.buckets() or 0):
        files = EventPartition(store, bucket).live_files(log.last_committed)
        stored = [found for file in files if (found := store.get(file.name))]
        if stored:
            events = pl.concat([pl.read_parquet(io.BytesIO(each.data)) for each in stored])
            parts.append(_top(series, events.filter(pl.col("event_time").dt.date() == day)))
    if not parts:
        return pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String))
    return _first(series, pl.concat(parts, how="diagonal_relaxed"))


def _top(series: Series, events: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of one bucket that may be among the first."""
    if series.source:
        events = events.filter(pl.col("source") == series.source)
    if series.check == "null_share":
        events = events.filter(pl.col(series.field).is_null())
    if series.check == "event_type_share":
        events = events.filter(pl.col("event_type") == series.field)
    if series.check == "category_price_median":
        events = events.filter(pl.col("category_root").fill_null("(none)") == series.field)
    if series.check == "repeated_share":
        times = pl.len().over("event_id").alias("times")
        events = events.with_columns(times).filter(pl.col("times") > 1)
    if series.check == "customer_events":
        events = events.with_columns(pl.len().over("user_id").alias("times"))
    return _first(series, events.select(*COLUMNS, *({"times"} & set(events.columns))))


def _first(series: Series, rows: pl.DataFrame) -> pl.DataFrame:
    if "times" in rows.columns:
        rows = rows.sort("times", "user_id", "event_time", descending=[True, False, False])
    elif "price" in series.check:
        rows = rows.sort("price", descending=True)
    else:
        rows = rows.sort("event_time")
    return rows.head(SHOWN_ROWS)
