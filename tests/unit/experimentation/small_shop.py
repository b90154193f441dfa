"""A shop with a lake in memory, files of experiments in a folder and fakes of the servers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from benchmarks.folder_lake import write_lake
from customer_profiles.common.console import PlainConsole
from customer_profiles.contracts import bucket_of
from customer_profiles.experimentation import analyse_command, commands
from customer_profiles.experimentation.settings import Settings
from customer_profiles.lake.events import EVENT_SCHEMA
from customer_profiles.lake.profiles import write_profiles
from customer_profiles.profiles.aggregate import build_from_distinct
from customer_profiles.profiles.segments import read_segments
from tests.support import ROOT, MemoryObjectStore
from tests.unit.experimentation import cases
from tests.unit.experimentation.test_landing import MemoryTopic

BUCKETS = 2
ACCESS = {"MINIO_ROOT_USER": "u", "MINIO_ROOT_PASSWORD": "p", "ELASTIC_PASSWORD": "e"}
FILE = """\
hypothesis = "A banner makes more customers buy."
salt = "banner-1"
layer = "page"
layer_start = 0.0
traffic = 1.0
start = 2020-01-10T00:00:00Z
end = 2020-01-24T00:00:00Z
primary = "conversion"
secondary = ["revenue"]
minimum_detectable_effect = 0.5
method = "fixed_horizon"
planned_customers = 200

[[variants]]
name = "control"
weight = 1

[[variants]]
name = "banner"
weight = 1
"""
ELIGIBLE = """
[eligible]
segments = ["Converting Customer"]
"""


class Index:
    """Keeps what experiments write to Elasticsearch."""

    def __init__(self) -> None:
        self.fields: list[str] = []
        self.variants: dict[str, Mapping[str, str]] = {}
        self.results: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}

    def add_field(self, name: str) -> None:
        self.fields.append(name)

    def publish_variants(
        self, name: str, variants: Mapping[str, str], progress: Callable[[int], None]
    ) -> int:
        self.variants[name] = variants
        progress(len(variants))
        return len(variants)

    def write_results(self, name: str, documents: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        self.results[name] = list(documents)


class Shop:
    """The servers of the commands, and a folder with `banner.toml`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.store = MemoryObjectStore()
        self.topic = MemoryTopic()
        self.index = Index()
        self.has_lease = True
        self.profiles: dict[str, dict[str, Any]] = {}
        """Of Elasticsearch, by customer."""
        self.experiments = folder / "experiments"
        self.experiments.mkdir()
        metrics = (ROOT / "experiments" / "metrics.toml").read_text()
        (self.experiments / "metrics.toml").write_text(metrics)
        self.declare(FILE)
        self.reports = folder / "reports"
        environ = {
            **ACCESS,
            "REPORTS": str(self.reports),
            "EXPERIMENTS": str(self.experiments),
            "BUCKETS": str(BUCKETS),
        }
        self.settings = Settings.from_env(environ)
        self.console: Any = PlainConsole()
        monkeypatch.setattr(commands, "S3ObjectStore", lambda _: self.store)
        monkeypatch.setattr(commands, "KafkaExposures", lambda _: self.topic)
        monkeypatch.setattr(commands, "hold_lease", self.hold_lease)
        monkeypatch.setattr(commands, "ProfileIndex", lambda _: self)
        monkeypatch.setattr(commands, "ExperimentIndices", lambda _: self.index)
        monkeypatch.setattr(analyse_command, "ExperimentIndices", lambda _: self.index)

    def declare(self, text: str, name: str = "banner") -> None:
        (self.experiments / f"{name}.toml").write_text(text)

    @contextmanager
    def hold_lease(self, *_: object) -> Iterator[Callable[[], bool]]:
        yield lambda: self.has_lease

    def get(self, user_id: str) -> dict[str, Any] | None:
        return self.profiles.get(user_id)

    def fill_lake(self, rows: Iterable[tuple[str, str, float, str]]) -> None:
        """Write events (`cases.events`) and the profiles that follow from them."""
        some = cases.events(rows)
        missing = {name: dtype for name, dtype in EVENT_SCHEMA.items() if name not in some.columns}
        stored = some.with_columns(
            pl.lit("" if dtype == pl.String else 0, dtype).alias(name)
            for name, dtype in missing.items()
        ).select(*EVENT_SCHEMA)
        write_lake(self.store, stored, BUCKETS)
        now = datetime(2020, 3, 1, tzinfo=UTC)
        profiles = build_from_distinct(some, read_segments(), now)
        placed = profiles.with_columns(
            pl.Series("bucket", [bucket_of(user, BUCKETS) for user in profiles["user_id"]])
        )
        for bucket in range(BUCKETS):
            part = placed.filter(pl.col("bucket") == bucket).drop("bucket")
            write_profiles(self.store, bucket, part, 1, None)
