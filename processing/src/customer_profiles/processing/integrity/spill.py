"""What was read in one pass and is needed bucket by bucket.

It is kept on disk, so that memory does not grow with the lake.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from customer_profiles.lake.parquet import to_parquet

BLOCK_EVENTS = 150_000
"""Events that are collected in memory before they are written to disk."""
BLOCK_DOCUMENTS = 5_000
"""The same for documents of an index."""


class EventSpill:
    """Events by bucket."""

    def __init__(self, folder: Path, schema: Mapping[str, Any]) -> None:
        self._folder = folder
        self._schema = schema
        self._blocks: dict[int, list[pl.DataFrame]] = defaultdict(list)
        self._files: dict[int, list[Path]] = defaultdict(list)
        self._collected = 0

    def add(self, bucket: int, events: pl.DataFrame) -> None:
        """Keep some events of a bucket."""
        self._blocks[bucket].append(events)
        self._collected += events.height
        if self._collected >= BLOCK_EVENTS:
            self._write()

    def read(self, bucket: int) -> pl.DataFrame:
        """Return all events of a bucket, in the order in which they came."""
        parts = [pl.read_parquet(path) for path in self._files.get(bucket, ())]
        empty = pl.DataFrame(schema=self._schema)
        events: pl.DataFrame = pl.concat([empty, *parts, *self._blocks.get(bucket, ())])
        return events

    def _write(self) -> None:
        for bucket, frames in self._blocks.items():
            path = self._folder / f"events-{bucket:02d}-{len(self._files[bucket])}.parquet"
            path.write_bytes(to_parquet(pl.concat(frames)))
            self._files[bucket].append(path)
        self._blocks.clear()
        self._collected = 0


class DocumentSpill:
    """Documents of an index by bucket: key, version and content of each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lines: dict[int, list[str]] = defaultdict(list)
        self._collected = 0

    def add(self, bucket: int, key: str, version: int, content: Any) -> None:
        """Keep one document."""
        self._lines[bucket].append(json.dumps([key, version, content]))
        self._collected += 1
        if self._collected >= BLOCK_DOCUMENTS:
            self._write()

    def read(self, bucket: int) -> dict[str, tuple[int, dict[str, Any]]]:
        """Return version and content of each document of a bucket, by key."""
        documents = map(json.loads, self._all_lines(bucket))
        return {key: (version, content) for key, version, content in documents}

    def _all_lines(self, bucket: int) -> Iterator[str]:
        path = self._path(bucket)
        if path.exists():
            with path.open() as file:
                yield from file
        yield from self._lines.get(bucket, ())

    def _write(self) -> None:
        for bucket, lines in self._lines.items():
            with self._path(bucket).open("a") as file:
                file.writelines(f"{line}\n" for line in lines)
        self._lines.clear()
        self._collected = 0

    def _path(self, bucket: int) -> Path:
        return self._folder / f"documents-{bucket:02d}.ndjson"
