"""The events of one bucket: a data file per micro-batch, and larger files after compaction."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence

import polars as pl

from customer_profiles.common.errors import PipelineError
from customer_profiles.lake import compaction
from customer_profiles.lake.checksums import EVENTS, FIRST_BATCH, LAST_BATCH
from customer_profiles.lake.compaction import DataFile
from customer_profiles.lake.event_file import EVENT_SCHEMA, SORT_ORDER, slice_bounds, stored_events
from customer_profiles.lake.layout import data_file_batches, data_file_name, events_prefix
from customer_profiles.lake.manifest import EventFile
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.parquet import to_parquet
from customer_profiles.profiles.schema import EVENT_COLUMNS

logger = logging.getLogger(__name__)

__all__ = ["EVENT_SCHEMA", "ROW_GROUP", "SLICE_EVENTS", "DataFile", "EventPartition"]

ROW_GROUP = 10_000
"""Rows in a row group: few enough that reading some customers skips most of the others."""
SLICE_EVENTS = 30_000
"""About how many events are in memory at once. A bucket can hold any number of events."""


class EventPartition:
    """The stored events of one bucket.

    An object of this class keeps the files it has read until `release` is called. Methods that read
    files raise `PipelineError` if a file disappears while they read.
    """

    def __init__(self, store: ObjectStore, bucket: int) -> None:
        self.bucket = bucket
        self._store = store
        self._contents: dict[str, bytes] = {}
        """The files that have been read, as they are stored: a sixth of their size as columns."""
        self._records: dict[str, EventFile] = {}
        """The files that have been read or written."""

    def write(self, batch: int, events: pl.DataFrame) -> EventFile:
        """Write the events of one micro-batch. It replaces what an earlier attempt wrote.

        Args:
            batch: the number of the micro-batch.
            events: `EVENT_SCHEMA`, in any order.

        Returns:
            What was written.
        """
        return self._write(batch, batch, data_file_name(self.bucket, batch), events)

    def write_span(self, first_batch: int, last_batch: int, events: pl.DataFrame) -> EventFile:
        """Write the events of one or several consecutive micro-batches as one file.

        Args:
            first_batch: the oldest micro-batch.
            last_batch: the newest one.
            events: `EVENT_SCHEMA`, in any order.

        Returns:
            What was written.
        """
        end = None if first_batch == last_batch else last_batch
        name = data_file_name(self.bucket, first_batch, end)
        return self._write(first_batch, last_batch, name, events)

    def live_files(self, through_batch: int) -> list[DataFile]:
        """Return the files that together hold each event up to a batch once, oldest first."""
        live = compaction.live_files(self._all_files())
        return [file for file in live if file.last_batch <= through_batch]

    def records(self, files: Sequence[DataFile]) -> tuple[EventFile, ...]:
        """Return what some files contain. Files that were not read yet are read."""
        return tuple(self._record(file) for file in files)

    def user_ids(self, files: Sequence[DataFile]) -> pl.Series:
        """Return the customers who have events in some files.

        Returns:
            `user_id` String, without duplicates, in any order.
        """
        columns = [pl.read_parquet(self._open(file), columns=["user_id"]) for file in files]
        return pl.concat(columns)["user_id"].unique()

    def slices(self, files: Sequence[DataFile], user_ids: pl.Series) -> Iterator[pl.DataFrame]:
        """Yield all events of some customers, about `SLICE_EVENTS` at a time.

        A slice is small however many customers and files there are, unless a single customer has
        more events.

        Args:
            files: the live files.
            user_ids: `user_id` String, without duplicates.

        Yields:
            `EVENT_COLUMNS`, with duplicate events. Each customer is in one slice only, and slices
            come in the order of `user_id`.
        """
        wanted = user_ids.to_frame().lazy()
        scans = [pl.scan_parquet(self._open(file)).select("user_id") for file in files]
        events = pl.concat(scans).join(wanted, on="user_id", how="semi")
        for first, last in slice_bounds(events, SLICE_EVENTS).iter_rows():
            in_slice = pl.col("user_id").is_between(pl.lit(first), pl.lit(last))
            yield self._read(files, user_ids, in_slice)

    def read_events(self, files: Sequence[DataFile], user_ids: pl.Series) -> pl.DataFrame:
        """Return all events of some customers in one frame.

        Args:
            files: the live files.
            user_ids: `user_id` String, without duplicates.

        Returns:
            `EVENT_COLUMNS`, with duplicate events.
        """
        return self._read(files, user_ids)

    def compact(self, through_batch: int, expected_events: int) -> tuple[int, EventFile | None]:
        """Merge the newest small files up to a batch into one, and delete files that are not live.

        The merged file is written before the others are deleted. In between it covers them:
        `live_files` knows that by their names, and other readers can deduplicate by `event_id`.

        Nothing is done if the files do not have all events. A listing that is made while another
        run compacts may lack a file. A merged file would then cover a batch whose events it lacks,
        and the next compaction would delete them.

        Args:
            through_batch: the newest batch to merge.
            expected_events: how many events the files up to this batch should have.

        Returns:
            The number of files that were merged, and what they became; 0 if there were too few.
        """
        all_files = self._all_files()
        live = compaction.live_files(all_files)
        obsolete = {file.name for file in all_files} - {file.name for file in live}
        candidates = [file for file in live if file.last_batch <= through_batch]
        count = compaction.plan_compaction([file.size_bytes for file in candidates])
        if not (count or obsolete) or not self._have(candidates, expected_events):
            return 0, None
        written: EventFile | None = None
        if count:
            merged = candidates[-count:]
            events = pl.concat([pl.read_parquet(self._open(file)) for file in merged])
            first, last = merged[0].first_batch, merged[-1].last_batch
            written = self._write(first, last, data_file_name(self.bucket, first, last), events)
            obsolete |= {file.name for file in merged}
        for name in sorted(obsolete):
            self._store.delete(name)
        return count, written

    def _have(self, files: Sequence[DataFile], expected_events: int) -> bool:
        stored = sum(record.events for record in self.records(files))
        if stored != expected_events:
            logger.warning(
                "bucket %02d was not compacted: its files have %s events instead of %s",
                self.bucket,
                f"{stored:,}",
                f"{expected_events:,}",
                extra={"event": "not_compacted"},
            )
        return stored == expected_events

    def release(self) -> None:
        """Free the memory of the files that were read. They are read again when needed."""
        self._contents.clear()

    def _all_files(self) -> list[DataFile]:
        files = []
        for name, info in self._store.list_objects(events_prefix(self.bucket)).items():
            if batches := data_file_batches(name):
                files.append(DataFile(name, *batches, info.size, info.etag))
        return files

    def _write(self, first: int, last: int, name: str, events: pl.DataFrame) -> EventFile:
        data = to_parquet(events.sort(SORT_ORDER), row_group_size=ROW_GROUP)
        attributes = {
            EVENTS: str(events.height),
            FIRST_BATCH: str(first),
            LAST_BATCH: str(last),
        }
        etag = self._store.put(name, data, attributes=attributes)
        record = EventFile(name, first, last, events.height, len(data), etag)
        self._records[name] = record
        return record

    def _record(self, file: DataFile) -> EventFile:
        if file.name not in self._records:
            self._open(file)
        return self._records[file.name]

    def _read(
        self, files: Sequence[DataFile], user_ids: pl.Series, condition: pl.Expr | None = None
    ) -> pl.DataFrame:
        wanted = user_ids.to_frame()

        def read_file(file: DataFile) -> pl.DataFrame:
            scan = pl.scan_parquet(self._open(file)).select(EVENT_COLUMNS)
            # The condition skips whole row groups. The join then looks only at the remaining rows.
            rows = (scan if condition is None else scan.filter(condition)).collect()
            return rows.join(wanted, on="user_id", how="semi")

        return pl.concat(map(read_file, files))

    def _open(self, file: DataFile) -> io.BytesIO:
        if file.name not in self._contents:
            stored = self._store.get(file.name)
            if stored is None:
                raise PipelineError(
                    f"{file.name} has vanished from the lake while it was read.\n"
                    "Did another run compact it at the same time? Run the command again."
                )
            self._contents[file.name] = stored.data
            self._records[file.name] = EventFile(
                file.name,
                file.first_batch,
                file.last_batch,
                stored_events(file.name, stored),
                len(stored.data),
                stored.etag,
            )
        return io.BytesIO(self._contents[file.name])
