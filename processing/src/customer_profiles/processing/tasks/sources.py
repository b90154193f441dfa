"""The task that counts what the lake has of each source."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from customer_profiles.common.errors import PipelineError
from customer_profiles.lake.events import EventPartition
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.processing.tasks.config import TaskConfig

RowKey = tuple[str, str | None, int | None]
"""Event id, source and row number of a redriven row; without its place in old records."""
_KEY = {"event_id": pl.String, "source": pl.String, "source_row": pl.Int64}


@dataclass(frozen=True, slots=True)
class SourceRows:
    """How many rows of a source one bucket has."""

    source: str
    rows: int


@dataclass(frozen=True, slots=True)
class PresentEvents:
    """The ids of redriven events that one bucket has."""

    event_ids: frozenset[str]


def count_sources(
    config: TaskConfig, through_batch: int, redriven: Sequence[RowKey], buckets: Iterable[int]
) -> Iterator[SourceRows | PresentEvents]:
    """Count the rows of each source in some buckets. A row that was sent twice counts once.

    A row that was cut at the end of a source, and was whole later, counts twice: both became
    events. A redriven row does not count, because ingestion has not counted it as accepted.

    Args:
        config: the servers.
        through_batch: the newest committed batch.
        redriven: the redriven rows.
        buckets: the buckets to count.
    """
    store = config.connect_lake()
    keys = pl.DataFrame(redriven, schema=_KEY, orient="row")
    without_place = keys.filter(pl.col("source").is_null())["event_id"].implode()
    for bucket in buckets:
        files = EventPartition(store, bucket).live_files(through_batch)
        if files:
            rows = pl.concat(_read(store, file.name) for file in files).unique()
            present = rows.join(keys, on="event_id", how="semi")["event_id"]
            if present.len():
                yield PresentEvents(frozenset(present))
                rows = rows.join(keys, on=list(_KEY), how="anti").filter(
                    ~pl.col("event_id").is_in(without_place)
                )
            counts = rows.group_by("source").len().drop_nulls()
            for source, number in counts.iter_rows():
                yield SourceRows(source, number)


def _read(store: ObjectStore, name: str) -> pl.DataFrame:
    stored = store.get(name)
    if stored is None:
        raise PipelineError(f"{name} has vanished from the lake while it was read.")
    columns = ["source", "source_row", "event_id"]
    return pl.read_parquet(io.BytesIO(stored.data), columns=columns)
