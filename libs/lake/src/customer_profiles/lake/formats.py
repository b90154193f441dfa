"""The format of stored profiles and event counts, and the conversion of objects in an older one.

Format 1 had 18 digits for `total_revenue` and `revenue`. Format 2 has 38, so that every sum of
prices fits. Readers of a whole folder expect one schema, so all objects change at once.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import polars as pl

from customer_profiles.lake.diagnosis import UNREADABLE
from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.events import ROW_GROUP
from customer_profiles.lake.layout import EVENT_COUNTS_PREFIX, PROFILES_PREFIX
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.parquet import DEFAULT_ROW_GROUP, to_parquet
from customer_profiles.profiles.event_counts import METRIC_SCHEMA
from customer_profiles.profiles.schema import PROFILE_SCHEMA

FORMAT = 2
"""The format that this version writes."""
_SCHEMAS = (
    (PROFILES_PREFIX, PROFILE_SCHEMA, ROW_GROUP),
    (EVENT_COUNTS_PREFIX, METRIC_SCHEMA, DEFAULT_ROW_GROUP),
)


def convert_objects(store: ObjectStore) -> int:
    """Convert the profiles and event counts of all buckets to `FORMAT`.

    Objects that have the format already stay as they are, so a conversion that was interrupted
    goes on where it ended. Values do not change.

    Returns:
        The number of objects that were converted.

    Raises:
        WriteConflictError: another run wrote an object in the meantime.
    """
    return sum(
        _convert(store, name, schema, row_group)
        for prefix, schema, row_group in _SCHEMAS
        for name in store.list_sizes(prefix)
        if name.endswith(".parquet")
    )


def _convert(
    store: ObjectStore, name: str, schema: Mapping[str, pl.DataType], row_group: int
) -> bool:
    try:
        stored = store.get(name)
        if stored is None:
            return False
        stored_schema = pl.read_parquet_schema(io.BytesIO(stored.data))
        metadata = pl.read_parquet_metadata(io.BytesIO(stored.data))
    except (*UNREADABLE, DamagedObjectError):
        # Whoever needs the object names it, or computes it again in the current format.
        return False
    if stored_schema == schema or list(stored_schema) != list(schema):
        return False
    # Writing the file adds the schema of Arrow again.
    kept = {key: value for key, value in metadata.items() if not key.startswith("ARROW:")}
    frame = pl.read_parquet(io.BytesIO(stored.data)).cast(pl.Schema(schema))
    data = to_parquet(frame, kept, row_group)
    store.put(name, data, attributes=stored.attributes, if_match=stored.etag)
    return True
