"""Experiments in the lake: the registered definitions, and who was assigned.

experiments/definitions/free-shipping.json                 all that decides about a variant
experiments/assigned/free-shipping/bucket=07/users.parquet who was eligible when it was published
"""

from __future__ import annotations

import io
from typing import Any

import polars as pl

from customer_profiles.contracts.experiment import RegisteredExperiment
from customer_profiles.lake.errors import DamagedObjectError, WriteConflictError
from customer_profiles.lake.object_store import ObjectStore, parse_record
from customer_profiles.lake.parquet import to_parquet

DEFINITIONS_PREFIX = "experiments/definitions/"
ASSIGNED_PREFIX = "experiments/assigned/"
ASSIGNED_SCHEMA: dict[str, Any] = {
    "user_id": pl.String,
    "variant": pl.String,
    "assigned_at": pl.Datetime("us", "UTC"),
}
"""Customers with a variant, and since when. They keep it, whatever becomes of their profiles."""


class ExperimentLake:
    """The registered experiments.

    Methods raise `LakeUnavailableError` if the store does not answer and `DamagedObjectError` if an
    object is not what was written.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def names(self) -> list[str]:
        """Return the names of all registered experiments."""
        names = self._store.list_sizes(DEFINITIONS_PREFIX)
        return [
            name.removeprefix(DEFINITIONS_PREFIX).removesuffix(".json")
            for name in names
            if name.endswith(".json")
        ]

    def read(self, name: str) -> tuple[RegisteredExperiment | None, str | None]:
        """Return a registered experiment and its ETag; twice None if there is none."""
        key = f"{DEFINITIONS_PREFIX}{name}.json"
        stored = self._store.get(key)
        if stored is None:
            return None, None
        return parse_record(key, stored, RegisteredExperiment.from_json), stored.etag

    def register(self, experiment: RegisteredExperiment, etag: str | None) -> str:
        """Write an experiment; return its new ETag.

        Args:
            experiment: what to register.
            etag: of the version that was read; None if there was none.

        Raises:
            WriteConflictError: somebody else has registered it in between.
        """
        key = f"{DEFINITIONS_PREFIX}{experiment.name}.json"
        try:
            return self._store.put_json(
                key, experiment.to_json(), if_match=etag, if_absent=etag is None
            )
        except WriteConflictError as error:
            raise WriteConflictError(
                f"Another command has registered {experiment.name} at the same moment.\n"
                "Run the command again."
            ) from error

    def assigned(self, name: str) -> pl.DataFrame:
        """Return the customers who were assigned when variants were published.

        Returns:
            `ASSIGNED_SCHEMA`, each customer once.
        """
        frames = [pl.DataFrame(schema=ASSIGNED_SCHEMA)]
        for key in self._store.list_sizes(f"{ASSIGNED_PREFIX}{name}/"):
            stored = self._store.get(key)
            if stored is None:
                continue
            try:
                frames.append(pl.read_parquet(io.BytesIO(stored.data)))
            except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
                raise DamagedObjectError(key, f"it is no Parquet file ({error})") from error
        return pl.concat(frames)

    def write_assigned(self, name: str, bucket: int, users: pl.DataFrame) -> None:
        """Replace the assigned customers of one bucket.

        Args:
            name: the experiment.
            bucket: of all customers in the frame.
            users: `ASSIGNED_SCHEMA`.
        """
        key = f"{ASSIGNED_PREFIX}{name}/bucket={bucket:02d}/users.parquet"
        self._store.put(key, to_parquet(users.select(*ASSIGNED_SCHEMA).sort("user_id")))
