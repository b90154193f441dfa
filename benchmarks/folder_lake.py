"""A lake in a folder: object storage without its server and network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from customer_profiles.contracts.buckets import bucket_of
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.batch_records import LandedBatch
from customer_profiles.lake.events import EVENT_SCHEMA, EventPartition
from customer_profiles.lake.object_store import ObjectInfo, ObjectStore, StoredObject

_ATTRIBUTES = ".attributes"


class FolderStore(ObjectStore):
    """Objects as files of a folder, each with its attributes in a file beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _get(self, name: str) -> StoredObject | None:
        path = self.folder / name
        if not path.exists():
            return None
        return StoredObject(path.read_bytes(), "1", self._attributes(path))

    def _put(
        self,
        name: str,
        data: bytes,
        attributes: Mapping[str, str],
        *,
        if_match: str | None,
        if_absent: bool,
    ) -> str:
        del if_match, if_absent  # Nobody else writes here.
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.with_name(path.name + _ATTRIBUTES).write_text(json.dumps(dict(attributes)))
        return "1"

    def head(self, name: str) -> ObjectInfo | None:
        """Return what is known of an object."""
        return self.list_objects(name).get(name)

    def list_objects(self, prefix: str) -> dict[str, ObjectInfo]:
        """Return the objects of a prefix."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            name = str(path.relative_to(self.folder))
            if path.is_file() and name.startswith(prefix) and path.suffix != _ATTRIBUTES:
                found[name] = ObjectInfo(path.stat().st_size, "1", self._attributes(path))
        return found

    def delete(self, name: str) -> None:
        """Delete an object."""
        (self.folder / name).unlink(missing_ok=True)

    def _attributes(self, path: Path) -> dict[str, str]:
        content: dict[str, str] = json.loads(path.with_name(path.name + _ATTRIBUTES).read_text())
        return content


def write_lake(store: ObjectStore, events: pl.DataFrame, buckets: int) -> None:
    """Write events as one committed batch.

    Args:
        store: an empty lake.
        events: `EVENT_SCHEMA`.
        buckets: how many buckets.
    """
    users = events["user_id"].unique()
    numbers = pl.Series([bucket_of(user, buckets) for user in users], dtype=pl.Int32)
    placed = events.join(pl.DataFrame({"user_id": users, "bucket": numbers}), on="user_id")
    log = BatchLog(store)
    batch = log.plan({}, buckets)
    for (bucket,), part in placed.partition_by("bucket", as_dict=True).items():
        EventPartition(store, int(str(bucket))).write(batch.number, part.select(*EVENT_SCHEMA))
    log.commit(batch, LandedBatch(events.height, 0, {}))
