"""What a run knows: frozen states that one stage hands to the next, and the clients they share."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.gaps import Gap
from customer_profiles.lake.layout import STATE
from customer_profiles.lake.manifest import Manifest
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.quarantine import Quarantine
from customer_profiles.lake.s3 import S3ObjectStore
from customer_profiles.processing.metrics import DashboardMetrics
from customer_profiles.processing.settings import Settings
from customer_profiles.processing.spark.session import SparkSession
from customer_profiles.processing.tasks.config import TaskConfig
from customer_profiles.processing.tasks.profile import BucketResult
from customer_profiles.profiles.segments import Segments
from customer_profiles.profiles.totals import check_totals
from customer_profiles.search.profile_index import IndexRef, ProfileIndex
from customer_profiles.telemetry.traces import add_stage


@dataclass(frozen=True, slots=True)
class ProfilesState:
    """How far the lake's profiles and the live index are: the object `_state/profiles.json`."""

    through_batch: int = 0
    """The newest batch that every bucket's profiles include."""
    index: str | None = None
    """Key of the index that `through_batch` holds for; None before the first."""
    behind: tuple[int, ...] = ()
    """Buckets whose profiles the index lacks, in ascending order."""
    totals: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Totals of each bucket's profiles, by the bucket's number with two digits."""
    segments: Mapping[str, Any] | None = None
    """The rules that decided, as `Segments.as_json` returns them."""
    counted: bool = True
    """Whether the dashboards' indices include the newest profiles."""
    format: int = 1
    """The format of the lake's profiles and event counts (`lake.formats`)."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Buckets whose newest profiles could not be built, with two digits, and the reasons.

    Every run tries them again."""

    def with_results(self, results: Iterable[BucketResult]) -> Self:
        """Return the state with the totals of some buckets, and which of them failed."""
        totals, failed = dict(self.totals), dict(self.failed)
        for result in results:
            key = f"{result.bucket:02d}"
            failed.pop(key, None)
            if result.error is None:
                totals[key] = result.totals
            else:
                failed[key] = result.error
        return replace(self, totals=totals, failed=dict(sorted(failed.items())))

    def to_json(self) -> dict[str, Any]:
        """Return the object's content; the keys are those of the lake's format."""
        content: dict[str, Any] = {
            "through_batch": self.through_batch,
            "index": self.index,
            "behind": list(self.behind),
            "buckets": dict(self.totals),
        }
        if self.segments is not None:
            content |= {"segments": self.segments, "charted": self.counted}
        if self.failed:
            content["failed"] = dict(self.failed)
        if self.format > 1:
            # Older versions drop this key, so their objects are converted again.
            content["format"] = self.format
        return content

    @classmethod
    def load(cls, store: ObjectStore) -> Self:
        """Read the state from the lake; a lake without one is at its beginning.

        Raises:
            DamagedObjectError: the object is not what was written.
        """
        return store.get_record(STATE, cls.from_json) or cls()

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read the object's content."""
        totals = content["buckets"]
        for part in totals.values():
            check_totals(part)
        return cls(
            through_batch=int(content["through_batch"]),
            index=content["index"],
            behind=tuple(map(int, content["behind"])),
            totals=totals,
            segments=content.get("segments"),
            counted=bool(content.get("charted", True)),
            format=int(content.get("format", 1)),
            failed=dict(content.get("failed", {})),
        )

    def save(self, store: ObjectStore) -> None:
        """Write the state to the lake."""
        store.put_json(STATE, self.to_json())


@dataclass(frozen=True, slots=True)
class RunState:
    """What the stages of a run have found and done so far."""

    profiles: ProfilesState
    live_index: IndexRef | None
    """The index that readers see; None while Elasticsearch does not answer."""
    index_error: str | None = None
    """Why the index is behind the lake."""
    batches: int = 0
    events_landed: int = 0
    invalid_messages: int = 0
    profiles_updated: int = 0
    profiles_indexed: int = 0
    files_compacted: int = 0
    manifest: Manifest | None = None
    """What the lake should hold; None for a lake of version 0.2."""
    restore: frozenset[int] = frozenset()
    """Buckets whose profiles or event counts were lost or damaged; they are computed again."""
    mended: tuple[str, ...] = ()
    """What was lost or damaged in the lake, and was made anew."""
    rebuild_unfinished: bool = False
    """An earlier rebuild did not reach its end."""
    gaps: tuple[Gap, ...] = ()
    """What was removed from the topic before it reached the lake, and is still missing."""
    quarantine: Quarantine | None = None
    """Which micro-batches wait for a decision; None for a lake that holds nothing back."""

    @property
    def changed(self) -> bool:
        """Whether the run has done anything."""
        return bool(self.batches or self.profiles_updated or self.profiles_indexed)


_REPORT_KEYS = {
    "load_state": "look",
    "build_profiles": "profile",
    "publish_index": "show",
    "count_events": "chart",
    "publish": "finish",
}
"""Keys of `seconds_by_stage` that differ from the stage. Programs have read them since 0.1."""


class Stopwatch:
    """Seconds by stage, for the report."""

    def __init__(self) -> None:
        self._began = self._last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """Count the time since the last lap for a stage."""
        stage = _REPORT_KEYS.get(stage, stage)
        now = time.perf_counter()
        ended = time.time_ns()
        add_stage(stage, ended - int((now - self._last) * 1e9), ended)
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + now - self._last, 3)
        self._last = now

    def total(self) -> float:
        """Return the seconds since the beginning."""
        return round(time.perf_counter() - self._began, 3)


@dataclass(frozen=True, slots=True)
class Context:
    """The clients and rules of a run; made once, at the entry point."""

    settings: Settings
    segments: Segments
    tasks: TaskConfig
    store: S3ObjectStore
    batch_log: BatchLog
    index: ProfileIndex
    metrics: DashboardMetrics
    spark: SparkSession
    stopwatch: Stopwatch

    @classmethod
    def open(
        cls, settings: Settings, segments: Segments, store: S3ObjectStore, spark: SparkSession
    ) -> Self:
        """Connect to the servers and read which batches the lake has.

        Raises:
            PipelineError: the lake does not answer.
        """
        stopwatch = Stopwatch()
        tasks = TaskConfig.from_settings(settings)
        return cls(
            settings=settings,
            segments=segments,
            tasks=tasks,
            store=store,
            batch_log=BatchLog(store),
            index=ProfileIndex(tasks.search),
            metrics=DashboardMetrics(store, tasks.search, tasks.kafka),
            spark=spark,
            stopwatch=stopwatch,
        )

    def start_spark(self, live_index: IndexRef | None) -> None:
        """Start Spark unless it runs; prepare the dashboards' indices meanwhile.

        Spark's start leaves half of the machine idle.
        """
        if self.spark.started:
            return
        if live_index is not None:
            self.metrics.prepare_in_background()
        self.spark.start()
        self.stopwatch.lap("start_spark")
