"""Experiments in the lake: the registered definitions, who was assigned, and what is published.

experiments/definitions/free-shipping.json                 all that decides about a variant
experiments/assigned/free-shipping/bucket=07/users.parquet who has which variant, and since when
experiments/published.json                                 whose variants all documents have
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import polars as pl

from customer_profiles.contracts.experiment import RegisteredExperiment
from customer_profiles.lake.errors import DamagedObjectError, WriteConflictError
from customer_profiles.lake.object_store import ObjectStore, parse_record
from customer_profiles.lake.parquet import to_parquet

DEFINITIONS_PREFIX = "experiments/definitions/"
ASSIGNED_PREFIX = "experiments/assigned/"
PUBLISHED = "experiments/published.json"
ASSIGNED_SCHEMA: dict[str, Any] = {
    "user_id": pl.String,
    "variant": pl.String,
    "assigned_at": pl.Datetime("us", "UTC"),
}
"""Customers with a variant, and since when. They keep it, whatever becomes of their profiles."""
VARIANTS_SCHEMA: dict[str, Any] = {"user_id": pl.String, "experiments": pl.String}
"""The published variants of customers, as JSON: `{"free-shipping":"treatment"}`."""


class Published(NamedTuple):
    """The experiments whose variants every document has."""

    names: tuple[str, ...] = ()
    etag: str | None = None
    """Another one after every publication; None before the first."""


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
        keys = self._store.list_sizes(f"{ASSIGNED_PREFIX}{name}/")
        empty = pl.DataFrame(schema=ASSIGNED_SCHEMA)
        return pl.concat([empty, *map(self._read_assigned, keys)])

    def published(self) -> Published:
        """Return the experiments whose variants are in the documents."""
        stored = self._store.get(PUBLISHED)
        if stored is None:
            return Published()
        return Published(parse_record(PUBLISHED, stored, _names), stored.etag)

    def record_published(self, name: str, now: datetime) -> None:
        """Note that documents have the variants of an experiment, also those of later profiles.

        Call it after the customers are assigned and before their documents are changed. Whoever
        writes documents at the same time sees another ETag, and writes them again.

        Args:
            name: the experiment.
            now: the time of the publication, in UTC; never the same twice.

        Raises:
            WriteConflictError: another publication has written it in between.
        """
        stored = self._store.get(PUBLISHED)
        times = parse_record(PUBLISHED, stored, _times) if stored else {}
        content = {"experiments": {**times, name: now.isoformat()}}
        self._store.put_json(
            PUBLISHED, content, if_match=stored.etag if stored else None, if_absent=stored is None
        )

    def variants(self, names: Sequence[str], bucket: int) -> pl.DataFrame:
        """Return the variants of a bucket's customers.

        Args:
            names: the experiments.
            bucket: the number of the bucket.

        Returns:
            `VARIANTS_SCHEMA`, one row for each customer who has a variant of one of them.
        """
        parts = [pl.DataFrame(schema=VARIANTS_SCHEMA)]
        for name in sorted(names):
            assigned = self._read_assigned(_assigned_key(name, bucket))
            # Names have only letters, digits, - and _, so they need no escapes.
            text = pl.lit(f'"{name}":"') + pl.col("variant") + pl.lit('"')
            parts.append(assigned.select("user_id", text.alias("experiments")))
        objects = pl.lit("{") + pl.col("experiments").str.join(",") + pl.lit("}")
        joined = pl.concat(parts).group_by("user_id", maintain_order=True)
        return joined.agg(objects.alias("experiments"))

    def write_assigned(self, name: str, bucket: int, users: pl.DataFrame) -> None:
        """Replace the assigned customers of one bucket.

        Args:
            name: the experiment.
            bucket: of all customers in the frame.
            users: `ASSIGNED_SCHEMA`.
        """
        data = to_parquet(users.select(*ASSIGNED_SCHEMA).sort("user_id"))
        self._store.put(_assigned_key(name, bucket), data)

    def _read_assigned(self, key: str) -> pl.DataFrame:
        stored = self._store.get(key)
        if stored is None:
            return pl.DataFrame(schema=ASSIGNED_SCHEMA)
        try:
            return pl.read_parquet(io.BytesIO(stored.data))
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise DamagedObjectError(key, f"it is no Parquet file ({error})") from error


def _assigned_key(name: str, bucket: int) -> str:
    return f"{ASSIGNED_PREFIX}{name}/bucket={bucket:02d}/users.parquet"


def _times(content: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(time) for name, time in content["experiments"].items()}


def _names(content: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(_times(content))
