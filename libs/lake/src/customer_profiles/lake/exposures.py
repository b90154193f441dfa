"""Exposures in the lake: a log, and a data file per bucket and batch.

    experiments/exposures/log.json                        what is landed, and what is being landed
    experiments/exposures/bucket=07/batch=000012.parquet  one bucket's exposures of one batch

The log is one object, which is only replaced if nobody else has replaced it in between. A batch is
planned in the log before its messages are read, and committed in the log after its files are
written. Files that the log does not have yet are not read. So a run may be killed at any time: the
next one lands the same offsets into the same objects.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from typing import Any

import polars as pl

from customer_profiles.lake.errors import DamagedObjectError, WriteConflictError
from customer_profiles.lake.exposure_records import ExposureCounts, ExposureLog, ExposurePlan
from customer_profiles.lake.object_store import ObjectStore, parse_record
from customer_profiles.lake.parquet import to_parquet
from customer_profiles.lake.runs import describe_run

__all__ = ["ExposureCounts", "ExposureLake", "ExposureLog", "ExposurePlan"]

EXPOSURES_PREFIX = "experiments/exposures/"
EXPOSURE_LOG = EXPOSURES_PREFIX + "log.json"
STORED_EXPOSURES: dict[str, Any] = {
    "exposure_id": pl.String,
    "experiment": pl.String,
    "variant": pl.String,
    "user_id": pl.String,
    "exposed_at": pl.Datetime("us", "UTC"),
    "kafka_partition": pl.Int32,
    "kafka_offset": pl.Int64,
}
"""The columns of a data file, in order."""
_ORDER = ["user_id", "exposed_at", "exposure_id"]
_FILE = re.compile(re.escape(EXPOSURES_PREFIX) + r"bucket=(\d+)/batch=(\d{6,})\.parquet")


class ExposureLake:
    """The stored exposures.

    Methods raise `LakeUnavailableError` if the store does not answer and `DamagedObjectError` if an
    object is not what was written.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def read_log(self, buckets: int) -> tuple[ExposureLog, str | None]:
        """Return the log and its ETag; an empty log of so many buckets, and None, without one."""
        stored = self._store.get(EXPOSURE_LOG)
        if stored is None:
            return ExposureLog(buckets), None
        return parse_record(EXPOSURE_LOG, stored, ExposureLog.from_json), stored.etag

    def write_log(self, log: ExposureLog, etag: str | None) -> str:
        """Replace the log; return its new ETag.

        Args:
            log: the new log.
            etag: of the log that was read; None if there was none.

        Raises:
            WriteConflictError: another run has replaced it. Nothing is lost.
        """
        try:
            return self._store.put_json(
                EXPOSURE_LOG, log.to_json(), if_match=etag, if_absent=etag is None
            )
        except WriteConflictError as error:
            other, _ = self.read_log(log.buckets)
            by = f" ({describe_run(other.plan.planned_by)})" if other.plan else ""
            raise WriteConflictError(
                f"Another run{by} lands exposures at the same time; this one has stopped and "
                "nothing is lost.\nRun `make exposures` again when the other has ended."
            ) from error

    def write(self, bucket: int, batch: int, exposures: pl.DataFrame) -> None:
        """Write one bucket's exposures of a batch, over what an earlier attempt wrote.

        Args:
            bucket: of all customers in the frame.
            batch: the number of the batch.
            exposures: `STORED_EXPOSURES`, in any order.
        """
        data = to_parquet(exposures.select(*STORED_EXPOSURES).sort(_ORDER))
        self._store.put(_file_name(bucket, batch), data)

    def delete_batch(self, batch: int) -> None:
        """Delete the files of a batch that was planned and is given up."""
        for name, (_, number) in self._files().items():
            if number == batch:
                self._store.delete(name)

    def exposure_ids(self, bucket: int, before_batch: int) -> pl.Series:
        """Return the identities of a bucket's exposures in older batches."""
        frames = [
            self._read(name, ["exposure_id"])
            for name, (number, batch) in self._files(f"bucket={bucket:02d}/").items()
            if number == bucket and batch < before_batch
        ]
        empty = pl.DataFrame(schema={"exposure_id": pl.String})
        return pl.concat([empty, *frames])["exposure_id"]

    def read(self, experiment: str | None = None) -> pl.DataFrame:
        """Return the landed exposures of one experiment, or of all.

        Returns:
            `STORED_EXPOSURES`, each exposure once, in any order.
        """
        # List before reading the log: whatever the log has is then in the listing.
        files = self._files()
        log, _ = self.read_log(0)
        frames = [pl.DataFrame(schema=STORED_EXPOSURES)]
        for name, (_, batch) in files.items():
            if batch <= log.batch:
                frame = self._read(name)
                frames.append(frame if experiment is None else frame.filter(experiment=experiment))
        return pl.concat(frames)

    def erase(self, user_ids: Iterable[str]) -> int:
        """Delete all exposures of some customers; return how many there were.

        It may be repeated. Nothing may land exposures at the same time.
        """
        users = pl.Series("user_id", list(user_ids), dtype=pl.String)
        erased = 0
        for name, (bucket, batch) in self._files().items():
            frame = self._read(name)
            kept = frame.join(users.to_frame(), on="user_id", how="anti")
            if kept.height < frame.height:
                self.write(bucket, batch, kept)
                erased += frame.height - kept.height
        return erased

    def _files(self, below: str = "bucket=") -> dict[str, tuple[int, int]]:
        """Return the bucket and the batch of each data file."""
        names = self._store.list_sizes(EXPOSURES_PREFIX + below)
        matches = {name: _FILE.fullmatch(name) for name in names}
        return {name: (int(match[1]), int(match[2])) for name, match in matches.items() if match}

    def _read(self, name: str, columns: list[str] | None = None) -> pl.DataFrame:
        stored = self._store.get(name)
        if stored is None:
            raise DamagedObjectError(name, "it has vanished while it was read")
        try:
            return pl.read_parquet(io.BytesIO(stored.data), columns=columns)
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise DamagedObjectError(name, f"it is no Parquet file ({error})") from error


def _file_name(bucket: int, batch: int) -> str:
    return f"{EXPOSURES_PREFIX}bucket={bucket:02d}/batch={batch:06d}.parquet"
