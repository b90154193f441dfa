"""The task that counts what the lake has of each source."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from customer_profiles.common.errors import PipelineError
from customer_profiles.lake.events import EventPartition
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.processing.tasks.config import TaskConfig


@dataclass(frozen=True, slots=True)
class SourceRows:
    """How many rows of a source one bucket has."""

    source: str
    rows: int


def count_sources(
    config: TaskConfig, through_batch: int, buckets: Iterable[int]
) -> Iterator[SourceRows]:
    """Count the rows of each source in some buckets. A row that was sent twice counts once.

    A row that was cut at the end of a source, and was whole later, counts twice: both became
    events.
    """
    store = config.connect_lake()
    for bucket in buckets:
        files = EventPartition(store, bucket).live_files(through_batch)
        if files:
            rows = pl.concat(_read(store, file.name) for file in files)
            counts = rows.unique().group_by("source").len().drop_nulls()
            for source, number in counts.iter_rows():
                yield SourceRows(source, number)


def _read(store: ObjectStore, name: str) -> pl.DataFrame:
    stored = store.get(name)
    if stored is None:
        raise PipelineError(f"{name} has vanished from the lake while it was read.")
    columns = ["source", "source_row", "event_id"]
    return pl.read_parquet(io.BytesIO(stored.data), columns=columns)
