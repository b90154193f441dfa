"""The servers of a run as fakes in this process: Kafka, Spark, Elasticsearch and the lake."""

from __future__ import annotations

import copy
import io
import json
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import polars as pl
import pytest

from customer_profiles.contracts import (
    COLUMNS,
    DEAD_LETTERS,
    RAW_EVENTS,
    DeadLetter,
    Redriven,
    Topic,
    bucket_of,
    encode,
    event_id,
)
from customer_profiles.kafka import dead_letters
from customer_profiles.kafka.admin import TopicState
from customer_profiles.kafka.errors import BrokerUnavailableError, OffsetOutOfRangeError
from customer_profiles.kafka.reader import MessageBatch, OffsetRange
from customer_profiles.kafka.source_records import NO_TOPIC, SourceRecord
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.layout import data_file_batches
from customer_profiles.processing import metrics, stream_state
from customer_profiles.processing.metrics import DashboardMetrics
from customer_profiles.processing.settings import Settings
from customer_profiles.processing.stages import gaps as gaps_stage
from customer_profiles.processing.stages import land as land_stage
from customer_profiles.processing.stages import topic as topic_stage
from customer_profiles.processing.state import Context, Stopwatch
from customer_profiles.processing.tasks import land as land_tasks
from customer_profiles.profiles.event_days import find_event_days
from customer_profiles.profiles.schema import EVENT_DAYS, INDEXED_SCHEMA
from customer_profiles.profiles.segments import read_segments
from customer_profiles.search.documents import documents
from customer_profiles.search.errors import IndexRefusedError, IndexUnavailableError
from customer_profiles.search.mapping import EXPERIMENTS
from customer_profiles.search.metrics_indices import MAPPINGS
from customer_profiles.search.profile_index import IndexRef
from tests.support import MemoryObjectStore

PRODUCED_MS = 1_600_948_626_000
"""When fake messages were produced: 2020-09-24, in milliseconds since 1970."""
BUCKETS = 4


def user_in(bucket: int, number: int = 0, buckets: int = BUCKETS) -> str:
    """Return the customer with this number, from 0, of all that belong to a bucket."""
    ids = (str(candidate) for candidate in range(1_000, 100_000))
    matching = (user_id for user_id in ids if bucket_of(user_id, buckets) == bucket)
    return next(user_id for index, user_id in enumerate(matching) if index == number)


def message(user_id: str, **changes: Any) -> bytes:
    """Return a valid message about a customer, with some values changed, also of its source."""
    row = {
        "event_time": "2020-09-24T11:57:06Z",
        "event_type": "view",
        "product_id": "1996170",
        "category_id": "2144415922528452715",
        "category_code": "electronics.telephone",
        "brand": "acme",
        "price": "31.90",
        "user_id": user_id,
        "user_session": "s1",
        **changes,
    }
    provenance = {
        "category_root": "electronics",
        "schema_version": 1,
        "source": "f.csv",
        "source_row": 1,
    }
    identifier = event_id({name: str(row[name] or "") for name in COLUMNS})
    return encode({"event_id": identifier, **provenance, **row})


class FakeTopics:
    """Kafka's topics, as far as processing reads and writes them."""

    def __init__(self) -> None:
        self.unavailable = False
        self.topic_id = "topic-1"
        """The id of `raw_events`."""
        self.sources: dict[str, SourceRecord] = {}
        """What `ingest_progress` says."""
        self.redriven: dict[str, Redriven] = {}
        """What `raw_events_replayed` says."""
        self.made_anew = 1
        """Changes the ids of all topics but `raw_events`."""
        self.marked_lost: list[str] = []
        self.on_look: Callable[[], None] = lambda: None
        """Called whenever somebody asks for offsets: events may come at any time."""
        self.ranges_read: list[tuple[str, OffsetRange]] = []
        self._removed: dict[tuple[str, int], int] = {}
        self._messages: dict[tuple[str, int], list[tuple[bytes | None, int]]] = {}

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Replace Kafka in every module that reads or writes topics."""
        for module in (stream_state, dead_letters):
            monkeypatch.setattr(module, "watermarks", self.watermarks)
        for module in (topic_stage, metrics):
            monkeypatch.setattr(module, "topic_state", self.topic_state)
        monkeypatch.setattr(topic_stage, "read_sources", lambda _: dict(self.sources))
        for module in (topic_stage, gaps_stage):
            monkeypatch.setattr(module, "read_redriven", lambda _: dict(self.redriven))
        monkeypatch.setattr(gaps_stage, "mark_lost", self.mark_lost)
        monkeypatch.setattr(gaps_stage, "mark_redriven_lost", self.mark_redriven_lost)
        for module in (land_tasks, metrics, dead_letters):
            monkeypatch.setattr(module, "read_range", self.read_range)
        monkeypatch.setattr(land_stage, "publish_dead_letters", self.publish_dead_letters)

    def produce(
        self,
        *values: bytes | None,
        partition: int = 0,
        topic: Topic = RAW_EVENTS,
        produced_ms: int = PRODUCED_MS,
    ) -> None:
        stored = self._messages.setdefault((topic.name, partition), [])
        stored.extend((value, produced_ms) for value in values)

    def values(self, topic: Topic) -> list[bytes | None]:
        parts = (self._messages.get((topic.name, n), []) for n in range(topic.partitions))
        return [value for value, _ in chain.from_iterable(parts)]

    def letters(self) -> list[DeadLetter]:
        return [DeadLetter.from_json(value or b"") for value in self.values(DEAD_LETTERS)]

    def watermarks(self, _: object, topic: Topic = RAW_EVENTS) -> dict[int, tuple[int, int]]:
        if self.unavailable:
            raise BrokerUnavailableError("Kafka does not answer.\nRun `make status`.")
        offsets = {
            partition: (
                self._removed.get((topic.name, partition), 0),
                len(self._messages.get((topic.name, partition), [])),
            )
            for partition in range(topic.partitions)
        }
        self.on_look()
        return offsets

    def topic_state(self, _: object, topic: Topic = RAW_EVENTS) -> TopicState:
        topic_id = self.topic_id if topic == RAW_EVENTS else f"{topic.name}-{self.made_anew}"
        return TopicState(topic_id, self.watermarks(None, topic))

    def remove(self, before: int, partition: int = 0) -> None:
        """Remove the messages of `raw_events` before an offset, as retention does."""
        self._removed[RAW_EVENTS.name, partition] = before

    def make_anew(self) -> None:
        """Delete `raw_events` and make it anew."""
        number = int(self.topic_id.rpartition("-")[2])
        self.topic_id = f"topic-{number + 1}"
        for stored in (self._messages, self._removed):
            for key in [key for key in stored if key[0] == RAW_EVENTS.name]:
                del stored[key]

    def add_source(self, source: str, accepted: int) -> None:
        """Note in `ingest_progress` that a source was ingested."""
        content = {"source": source, "accepted": accepted, "topic_id": self.topic_id}
        self.sources[source] = SourceRecord(source, accepted, content)

    def mark_lost(self, _: object, records: list[SourceRecord]) -> None:
        for record in records:
            self.marked_lost.append(record.source)
            content = {**record.content, "topic_id": NO_TOPIC}
            self.sources[record.source] = replace(record, content=content)

    def redrive(self, letter: str, value: bytes) -> None:
        """Send a corrected row, and note its dead letter as redriven."""
        event = json.loads(value)
        self.produce(value)
        self.redriven[letter] = Redriven(
            event["event_id"], True, "2020-09-24", "letters-1", event["source"], event["source_row"]
        )

    def mark_redriven_lost(self, _: object, records: Mapping[str, Redriven]) -> None:
        for letter, record in records.items():
            self.redriven[letter] = replace(record, topic_id=NO_TOPIC)

    def read_range(
        self, _: object, offset_range: OffsetRange, topic: Topic = RAW_EVENTS
    ) -> Iterator[MessageBatch]:
        """Yield two messages at a time, so that ranges consist of several batches."""
        self.ranges_read.append((topic.name, offset_range))
        stored = self._messages[topic.name, offset_range.partition]
        if offset_range.start < self._removed.get((topic.name, offset_range.partition), 0):
            raise OffsetOutOfRangeError(f"Kafka no longer has offset {offset_range.start}")
        for start in range(offset_range.start, offset_range.end, 2):
            offsets = list(range(start, min(start + 2, offset_range.end)))
            values = [stored[offset][0] for offset in offsets]
            yield MessageBatch(offsets, values, stored[start][1])

    def publish_dead_letters(self, _: object, letters: list[tuple[str, str]]) -> None:
        self.produce(*(value.encode() for _, value in letters), topic=DEAD_LETTERS)


class FakeRdd:
    """Partitions that are computed when they are collected, as Spark's are."""

    def __init__(self, compute: Callable[[], list[list[Any]]]) -> None:
        self._compute = compute

    def flatMap(self, function: Callable[[Any], Iterable[Any]]) -> FakeRdd:  # noqa: N802
        return self.mapPartitions(lambda items: chain.from_iterable(map(function, items)))

    def mapPartitions(  # noqa: N802
        self, function: Callable[[Iterator[Any]], Iterable[Any]]
    ) -> FakeRdd:
        def compute() -> list[list[Any]]:
            # What leaves a task is pickled, as between Spark's processes.
            return [
                [pickle.loads(pickle.dumps(item)) for item in function(iter(items))]  # noqa: S301
                for items in self._compute()
            ]

        return FakeRdd(compute)

    def partitionBy(self, count: int, function: Callable[[Any], int]) -> FakeRdd:  # noqa: N802
        def compute() -> list[list[Any]]:
            partitions: list[list[Any]] = [[] for _ in range(count)]
            for key, value in chain.from_iterable(self._compute()):
                partitions[function(key) % count].append((key, value))
            return partitions

        return FakeRdd(compute)

    def collect(self) -> list[Any]:
        return list(chain.from_iterable(self._compute()))


class FakeSpark:
    """A Spark session that runs its jobs in this process."""

    def __init__(self, cores: int = 2) -> None:
        self.started = False
        self.stopped = False
        self.steps: list[str] = []
        """The names of all jobs, in order."""
        self._cluster = SimpleNamespace(
            cores=cores, context=SimpleNamespace(parallelize=self._parallelize)
        )

    def start(self) -> Any:
        self.started = True
        return self._cluster

    def run(self, rdd: FakeRdd, step: str, tasks: int) -> list[Any]:
        assert not self.stopped, f"the job {step} came after Spark was stopped"
        assert self.started
        assert tasks > 0
        self.steps.append(step)
        return rdd.collect()

    def stop_in_background(self) -> None:
        self.stopped = True

    @staticmethod
    def _parallelize(items: list[Any], count: int) -> FakeRdd:
        bounds = [len(items) * number // count for number in range(count + 1)]
        slices = [items[start:end] for start, end in pairwise(bounds)]
        return FakeRdd(lambda: slices)


class FakeProfileIndex:
    """The profile indices in memory. A document with a higher version stays as it is."""

    def __init__(self) -> None:
        self.config = SimpleNamespace(url="http://elasticsearch")
        self.live: IndexRef | None = None
        self.unavailable = False
        self.refused_users: set[str] = set()
        """Customers whose documents Elasticsearch refuses."""
        self.requests: list[tuple[str, int, set[str]]] = []
        """Index, version and customers of each call of `index_profiles`."""
        self.stored: dict[str, dict[str, tuple[int, dict[str, Any]]]] = {}
        """Version and document of each customer, by index."""
        self.batches: dict[str, int] = {}
        """The newest batch that each index says it has."""
        self._visible: dict[str, dict[str, dict[str, Any]]] = {}
        """What searches find: each customer's document as it was at the last refresh, by index."""
        self._refs: dict[str, IndexRef] = {}
        self._created = 0

    def ensure(self) -> IndexRef:
        self._answer()
        if self.live is None:
            self.live = self._create()
        return self.live

    def create(self) -> IndexRef:
        self._answer()
        return self._create()

    def through_batch(self, index: IndexRef) -> int | None:
        return self.batches.get(index.name)

    def record_batch(self, index: IndexRef, batch: int) -> None:
        self._answer()
        self.batches[index.name] = batch

    def promote(self, index: IndexRef, batch: int | None = None) -> list[str]:
        self._answer()
        if batch is not None:
            self.batches[index.name] = batch
        kept = {index.name, self.live.name if self.live else ""}
        self.live = index
        removed = [name for name in self.stored if name not in kept]
        for name in removed:
            self._delete(name)
        return removed

    def index_profiles(self, index: IndexRef, profiles: pl.DataFrame, version: int) -> None:
        self._answer()
        if self._refs.get(index.name) != index:
            raise IndexRefusedError(f"There is no index {index.name}")
        self.requests.append((index.name, version, set(profiles["user_id"])))
        stored = self.stored[index.name]
        refused = self.refused_users & set(profiles["user_id"])
        variants = [EXPERIMENTS] if EXPERIMENTS in profiles.columns else []
        for user_id, text in documents(profiles.select(*INDEXED_SCHEMA, *variants)).iter_rows():
            if user_id not in refused and version >= stored.get(user_id, (0,))[0]:
                stored[user_id] = version, json.loads(text)
        if refused:
            raise IndexRefusedError(f"Elasticsearch refused {sorted(refused)[0]}\nSee `make logs`")

    def refresh(self, index: IndexRef) -> None:
        self._answer()
        stored = self.stored[index.name]
        self._visible[index.name] = {user_id: stored[user_id][1] for user_id in sorted(stored)}

    def count(self, index: IndexRef) -> int:
        self._answer()
        return len(self._visible[index.name])

    def get(self, user_id: str) -> dict[str, Any] | None:
        self._answer()
        found = self.documents().get(user_id)
        return found and {key: value for key, value in found.items() if key != EVENT_DAYS}

    def top_by_revenue(self, count: int) -> list[dict[str, Any]]:
        self._answer()
        found = [profile for profile in self.documents().values() if profile["total_revenue"] > 0]
        return sorted(found, key=lambda profile: -profile["total_revenue"])[:count]

    def documents(self) -> dict[str, dict[str, Any]]:
        """Return the profiles that readers see, by customer."""
        if self.live is None:
            return {}
        return dict(self._visible.get(self.live.name, {}))

    def delete_live(self) -> None:
        """Delete the live index behind the application's back."""
        assert self.live is not None
        self._delete(self.live.name)
        self.live = None

    def _create(self) -> IndexRef:
        self._created += 1
        ref = IndexRef(f"customer_profiles-{self._created:06d}", f"uuid-{self._created}")
        self._refs[ref.name] = ref
        self.stored[ref.name] = {}
        self._visible[ref.name] = {}
        return ref

    def _delete(self, name: str) -> None:
        for by_name in (self._refs, self.stored, self._visible):
            del by_name[name]

    def _answer(self) -> None:
        if self.unavailable:
            raise IndexUnavailableError("Elasticsearch does not answer.\nRun `make status`.")


class FakeMetricsIndices:
    """The dashboards' indices in memory."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, dict[str, Any]]] = {}
        self.uuids: dict[str, str] = {}
        self.actions: list[tuple[str, str, str]] = []
        """Index, action and id of everything that was sent."""
        self.failures: list[Exception] = []
        """Raised by the next calls of `ensure`, one each."""
        self.sends_left: int | None = None
        """How many more actions `send` takes before it fails. None takes all of them."""
        self._created = 0

    def ensure(self) -> None:
        if self.failures:
            raise self.failures.pop(0)
        for name in MAPPINGS:
            if name not in self.documents:
                self._created += 1
                self.documents[name] = {}
                self.uuids[name] = f"{name}-{self._created}"

    def delete(self, name: str) -> None:
        self.documents.pop(name, None)
        self.uuids.pop(name, None)

    def index_uuid(self, name: str) -> str:
        return self.uuids[name]

    def index_documents(self, index: str, pairs: Iterable[tuple[str, Any]]) -> None:
        self.send(
            index,
            [
                f"{json.dumps({'index': {'_id': document_id}})}\n{json.dumps(document)}\n"
                for document_id, document in pairs
            ],
        )

    def send(self, index: str, texts: Iterable[str]) -> None:
        for text in texts:
            if self.sends_left is not None:
                if not self.sends_left:
                    raise IndexUnavailableError("Elasticsearch stopped answering.\nTry again.")
                self.sends_left -= 1
            first, *rest = text.removesuffix("\n").split("\n")
            ((action, metadata),) = json.loads(first).items()
            self.actions.append((index, action, metadata["_id"]))
            if action == "delete":
                self.documents[index].pop(metadata["_id"], None)
            else:
                self.documents[index][metadata["_id"]] = json.loads(rest[0])


@dataclass(frozen=True)
class FakeTaskConfig:
    """Stands in for `TaskConfig`: its connections lead to the fakes."""

    lake: MemoryObjectStore
    search: FakeProfileIndex
    buckets: int
    kafka: object = None

    def connect_lake(self) -> MemoryObjectStore:
        return self.lake

    def connect_index(self) -> FakeProfileIndex:
        return self.search


class Pipeline:
    """All servers of a run. Each call of `context` stands for another process that connects."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, reports: Path, buckets: int = BUCKETS
    ) -> None:
        self.store = MemoryObjectStore()
        self.index = FakeProfileIndex()
        self.metrics_indices = FakeMetricsIndices()
        self.topics = FakeTopics()
        self.topics.install(monkeypatch)
        monkeypatch.setattr(metrics, "MetricsIndices", lambda _: self.metrics_indices)
        self._monkeypatch = monkeypatch
        self.environ = {
            "MINIO_ROOT_USER": "u",
            "MINIO_ROOT_PASSWORD": "p",
            "REPORTS": str(reports),
            "BUCKETS": str(buckets),
        }

    def context(self, **environ: str) -> Context:
        """Connect. Settings can be changed by their names in the environment."""
        settings = Settings.from_env({**self.environ, **environ})
        tasks: Any = FakeTaskConfig(self.store, self.index, settings.buckets)
        store: Any = self.store
        index: Any = self.index
        spark: Any = FakeSpark()
        no_address: Any = None
        return Context(
            settings=settings,
            segments=read_segments(),
            tasks=tasks,
            store=store,
            batch_log=BatchLog(self.store),
            index=index,
            metrics=DashboardMetrics(self.store, no_address, no_address),
            spark=spark,
            stopwatch=Stopwatch(),
        )

    def kill_at(self, name: str | None) -> None:
        """Let runs die when they write the object of this name; None ends that."""
        store = self.store

        def put(written: str, data: bytes, **conditions: Any) -> str:
            if written == name:
                raise InterruptedError
            return MemoryObjectStore.put(store, written, data, **conditions)

        self._monkeypatch.setattr(store, "put", put)

    def snapshot(self) -> dict[str, Any]:
        """Return a copy of everything that the servers hold."""
        return copy.deepcopy(
            {
                "objects": self.store.objects,
                "attributes": self.store.attributes,
                "index": vars(self.index),
                "metrics": vars(self.metrics_indices),
                "topics": vars(self.topics),
            }
        )

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Let the servers hold what they held when the snapshot was taken."""
        content = copy.deepcopy(snapshot)
        self.store.objects = content["objects"]
        self.store.attributes = content["attributes"]
        vars(self.index).update(content["index"])
        vars(self.metrics_indices).update(content["metrics"])
        vars(self.topics).update(content["topics"])

    def lake_profiles(self) -> dict[str, dict[str, Any]]:
        """Return the lake's profiles as documents of the index, by customer."""
        frames = [self._indexed(name) for name in self.store.list_sizes("customer_profiles/")]
        pairs = chain.from_iterable(documents(frame).iter_rows() for frame in frames)
        return {user_id: json.loads(text) for user_id, text in sorted(pairs)}

    def _indexed(self, name: str) -> pl.DataFrame:
        """Return the profiles of an object with the days of the events that they include."""
        data = self.store.objects[name]
        through = int(pl.read_parquet_metadata(io.BytesIO(data))["through_batch"])
        profiles = pl.read_parquet(io.BytesIO(data))
        batches = {
            file: data_file_batches(file)
            for file in self.store.list_sizes(f"events/{name.split('/')[1]}/")
        }
        events = [
            pl.read_parquet(self.store.objects[file], columns=["user_id", "event_time"])
            for file, covered in batches.items()
            if covered and covered[1] <= through
        ]
        days = find_event_days(pl.concat(events)) if events else None
        return profiles if days is None else profiles.join(days, on="user_id", how="left")

    def result(self) -> dict[str, Any]:
        """Return what readers see of the lake, the indices and the dashboards.

        Times of runs are left out, so that two pipelines can be compared.
        """
        event_counts = self.metrics_indices.documents.get("event_metrics", {})
        rejected = self.metrics_indices.documents.get("rejected_rows", {})
        return {
            "lake": _without_times(self.lake_profiles()),
            "index": _without_times(self.index.documents()),
            "dead letters": self.topics.values(DEAD_LETTERS),
            "event counts": event_counts,
            "rejected rows": rejected,
        }

    def stored_profiles(self) -> dict[str, Any]:
        """Return what the live index has, visible to searches or not, without times of runs."""
        assert self.index.live is not None
        stored = self.index.stored[self.index.live.name]
        return _without_times({user_id: stored[user_id][1] for user_id in sorted(stored)})

    def assert_index_equals_lake(self) -> Self:
        assert self.index.documents() == self.lake_profiles()
        return self


def _without_times(profiles: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        user_id: {name: value for name, value in profile.items() if name != "profile_generated_at"}
        for user_id, profile in profiles.items()
    }
