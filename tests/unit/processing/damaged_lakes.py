"""A small lake with a history, ways to damage it, and what its content should be.

`expected_profiles` and `expected_counts` compute from the messages in plain Python, without any
function that processing uses.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from customer_profiles.contracts import COLUMNS, RAW_EVENTS, event_id
from customer_profiles.kafka.reader import MessageBatch, OffsetRange
from customer_profiles.lake import compaction
from customer_profiles.processing.batch import process
from customer_profiles.processing.integrity import topic as topic_module
from customer_profiles.processing.integrity import verify as verify_module
from customer_profiles.processing.integrity.diagnosis import Servers
from customer_profiles.processing.stages import build_profiles as build_profiles_stage
from customer_profiles.profiles.segments import read_segments
from customer_profiles.search.contents import IndexedDocument
from customer_profiles.search.profile_index import IndexRef
from tests.support import MemoryObjectStore
from tests.unit.processing.fakes import Pipeline, message

BUCKETS = 2
BATCHES = 6
USERS = [str(1515915625519388000 + number) for number in range(11)]
TYPES = ("view", "view", "cart", "purchase", "view", "remove_from_cart")
CATEGORIES = ("electronics.telephone", "electronics.audio", None, "apparel")
BRANDS = ("acme", None, "bosch", "acme", "zeta")
CENT = Decimal("0.01")


def story(batch: int) -> list[tuple[str, bytes]]:
    """Return the customers and the messages of a batch: events, duplicates and an invalid one."""
    rows = []
    for number in range(9):
        serial = 9 * batch + number
        user_id = USERS[(serial * 7) % len(USERS)]
        moment = datetime(2020, 9, 24, 11, tzinfo=UTC) + timedelta(hours=5 * serial)
        row = {
            "event_time": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "event_type": TYPES[serial % len(TYPES)],
            "product_id": str(100 + serial % 13),
            "category_code": CATEGORIES[serial % len(CATEGORIES)],
            "brand": BRANDS[serial % len(BRANDS)],
            "price": f"{serial * 37 % 900}.{serial % 100:02d}",
            "user_session": f"s{serial % 4}",
        }
        rows.append((user_id, _message(user_id, row, serial + 1)))
    # An event that was sent twice, and a message that breaks the contract.
    return [*rows, rows[batch % 9], (USERS[batch % len(USERS)], b'{"not": "an event"}')]


def _message(user_id: str, row: dict[str, Any], source_row: int) -> bytes:
    content = json.loads(message(user_id, **row))
    root = (row["category_code"] or "").split(".")[0]
    content |= {"category_root": root or None, "source": "events.csv"}
    content["source_row"] = source_row
    content["event_id"] = event_id({name: str(content[name] or "") for name in COLUMNS})
    return json.dumps(content, separators=(",", ":")).encode()


Objects = dict[str, tuple[bytes, dict[str, str], str]]
"""Content, attributes and entity tag of objects."""


def _copied(value: Any) -> Any:
    """Copy containers, but nothing in them that is no container."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return type(value)(map(_copied, value)) if type(value) in (list, set) else value


class FakeContents:
    """Reads the fake indices as a whole."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def live(self) -> tuple[IndexRef, int | None] | None:
        live = self._pipeline.index.live
        return None if live is None else (live, self._pipeline.index.through_batch(live))

    def sums(
        self, index: str, fields: Sequence[str], term: Mapping[str, str] | None = None
    ) -> dict[str, int] | None:
        assert term is None
        if index not in self._names():
            return None
        documents = [document.content for document in self.scan(index)]
        return {
            "documents": len(documents),
            **{field: sum(document[field] for document in documents) for field in fields},
        }

    def scan(self, index: str) -> Iterator[IndexedDocument]:
        profiles = self._pipeline.index.stored.get(index, {})
        for key, (version, content) in profiles.items():
            yield IndexedDocument(key, version, content)
        for key, content in self._pipeline.metrics_indices.documents.get(index, {}).items():
            yield IndexedDocument(key, 1, content)

    def _names(self) -> set[str]:
        return {*self._pipeline.index.stored, *self._pipeline.metrics_indices.documents}


def _read_at_once(pipeline: Pipeline, config: object, part: OffsetRange) -> Iterator[MessageBatch]:
    """Read a range as one batch, which is faster."""
    batches = list(pipeline.topics.read_range(config, part))
    offsets = [offset for batch in batches for offset in batch.offsets]
    values = [value for batch in batches for value in batch.values]
    yield MessageBatch(offsets, values, 0)


def partition_of(user_id: str) -> int:
    return int(user_id) % RAW_EVENTS.partitions


class DamageableStore(MemoryObjectStore):
    """An object store whose disk can be damaged, so that entity tags and attributes stay."""

    def copy(self) -> Objects:
        return {
            name: (data, self.attributes.get(name, {}), self.etags.get(name, ""))
            for name, data in self.objects.items()
        }

    def restore(self, copied: Objects) -> None:
        self.objects = {name: data for name, (data, _, _) in copied.items()}
        self.attributes = {name: dict(attributes) for name, (_, attributes, _) in copied.items()}
        self.etags = {name: etag for name, (_, _, etag) in copied.items()}

    def place(self, name: str, copied: tuple[bytes, dict[str, str], str]) -> None:
        """Let an object be what it or another one once was."""
        self.objects[name], attributes, self.etags[name] = copied
        self.attributes[name] = dict(attributes)

    def _put(
        self,
        name: str,
        data: bytes,
        attributes: Mapping[str, str],
        *,
        if_match: str | None,
        if_absent: bool,
    ) -> str:
        etag = super()._put(name, data, attributes, if_match=if_match, if_absent=if_absent)
        self.etags[name] = etag
        return etag


@dataclass
class DamagedLake:
    """A pipeline whose lake has several batches, with a copy of everything after each of them."""

    pipeline: Pipeline
    store: DamageableStore
    copies: list[dict[str, Any]]
    """Everything after each batch; the last one is what the lake is before a damage."""

    @classmethod
    def build(cls, monkeypatch: pytest.MonkeyPatch, reports: Path) -> DamagedLake:
        """Process `BATCHES` batches, compact on the way, and checkpoint the oldest."""
        monkeypatch.setattr(compaction, "MIN_COMPACTED_FILES", 3)
        monkeypatch.setattr(build_profiles_stage, "MAX_LOGGED_BATCHES", 3)
        pipeline = Pipeline(monkeypatch, reports, BUCKETS)
        monkeypatch.setattr(topic_module, "read_range", partial(_read_at_once, pipeline))
        monkeypatch.setattr(verify_module, "topic_state", pipeline.topics.topic_state)
        monkeypatch.setattr(verify_module, "watermarks", pipeline.topics.watermarks)
        store = DamageableStore()
        pipeline.store = store
        lake = cls(pipeline, store, [])
        for batch in range(BATCHES):
            for user_id, value in story(batch):
                pipeline.topics.produce(value, partition=partition_of(user_id))
            process(pipeline.context())
            lake.copies.append(lake.copy())
        return lake

    def copy(self) -> dict[str, Any]:
        """Return what all servers hold. Documents and messages are never changed in place."""
        pipeline = self.pipeline
        return {
            "objects": self.store.copy(),
            "index": _copied(vars(pipeline.index)),
            "metrics": _copied(vars(pipeline.metrics_indices)),
            "topics": {k: v for k, v in _copied(vars(pipeline.topics)).items() if k != "on_look"},
        }

    def restore(self, copied: dict[str, Any]) -> None:
        """Let all servers hold what they held at an earlier time."""
        self.store.restore(copied["objects"])
        vars(self.pipeline.index).update(_copied(copied["index"]))
        vars(self.pipeline.metrics_indices).update(_copied(copied["metrics"]))
        vars(self.pipeline.topics).update(_copied(copied["topics"]))

    def servers(self) -> Servers:
        """Connect, as `make verify` and `make repair` do."""
        pipeline: Any = self.pipeline
        nothing: Any = None
        contents: Any = FakeContents(pipeline)
        return Servers(
            store=pipeline.store,
            kafka=nothing,
            index=pipeline.index,
            contents=contents,
            metrics=pipeline.metrics_indices,
            segments=read_segments(),
            buckets=BUCKETS,
        )

    @property
    def objects(self) -> dict[str, bytes]:
        return self.pipeline.store.objects

    def reset(self) -> None:
        """Bring everything back to what it was before the damage."""
        self.restore(self.copies[-1])

    def named(self, prefix: str, *, where: Callable[[str], bool] = lambda _: True) -> list[str]:
        return [name for name in sorted(self.objects) if name.startswith(prefix) and where(name)]

    def process(self) -> Any:
        return process(self.pipeline.context())

    def differences(self, values: Iterable[bytes | None] | None = None) -> list[str]:
        """Compare what readers see with what the messages say; return what differs.

        Args:
            values: the messages that count; None takes those of the intact topic.
        """
        messages = list(self.messages() if values is None else values)
        profiles = expected_profiles(messages)
        found = []
        lake = self.pipeline.result()
        for place in ("lake", "index"):
            actual = {
                user_id: {k: v for k, v in profile.items() if k != "segments_version"}
                for user_id, profile in lake[place].items()
            }
            found += _compare(place, profiles, actual)
        counts = expected_counts(messages, profiles)
        found += _compare("counts in the lake", counts, _lake_counts(self.objects))
        found += _compare("counts in the index", counts, _index_counts(lake["event counts"]))
        return found

    def messages(self) -> list[bytes]:
        """Return the messages that were produced, whatever the topic has now."""
        return [value for batch in range(BATCHES) for _, value in story(batch)]


def _compare(place: str, expected: dict[Any, Any], actual: dict[Any, Any]) -> list[str]:
    keys = sorted({*expected, *actual}, key=str)
    return [
        f"{place}: {key}: {expected.get(key)} != {actual.get(key)}"
        for key in keys
        if expected.get(key) != actual.get(key)
    ]


def distinct_events(messages: Iterable[bytes | None]) -> list[dict[str, Any]]:
    """Return each event once."""
    events: dict[str, dict[str, Any]] = {}
    for value in messages:
        content = json.loads(value or b"{}")
        if "event_id" in content:
            events[content["event_id"]] = content
    return list(events.values())


def expected_profiles(messages: Iterable[bytes | None]) -> dict[str, dict[str, Any]]:
    """Compute the profiles of all customers, as documents of the index."""
    by_user: dict[str, list[dict[str, Any]]] = {}
    for event in distinct_events(messages):
        by_user.setdefault(event["user_id"], []).append(event)
    return {user_id: _profile(user_id, events) for user_id, events in sorted(by_user.items())}


def _profile(user_id: str, events: list[dict[str, Any]]) -> dict[str, Any]:
    kinds = Counter(event["event_type"] for event in events)
    prices = [Decimal(event["price"]) for event in events if event["event_type"] == "purchase"]
    revenue = sum(prices, Decimal(0))
    average = (revenue / len(prices)).quantize(CENT, ROUND_HALF_UP) if prices else None
    rate = (Decimal(100) * len(prices) / len(events)).quantize(CENT, ROUND_HALF_UP)
    times = sorted(event["event_time"] for event in events)
    category = _favourite(event["category_code"] for event in events)
    brand = _favourite(event["brand"] for event in events)
    return {
        "user_id": user_id,
        "customer_segment": _segment(revenue, kinds),
        "total_events": len(events),
        "total_sessions": len({event["user_session"] for event in events}),
        "total_purchases": len(prices),
        "total_product_views": kinds["view"],
        "total_cart_additions": kinds["cart"],
        "total_revenue": float(revenue.quantize(CENT, ROUND_HALF_UP)),
        "conversion_rate": float(rate),
        "avg_order_value": None if average is None else float(average),
        "days_active": len({time[:10] for time in times}),
        "first_seen": times[0],
        "last_seen": times[-1],
        "favorite_category": category,
        "favorite_brand": brand,
        "category": category.split(".")[0] if category else "(none)",
        "brand": brand or "(none)",
        "event_days": sorted({time[:10] for time in times}),
    }


def _segment(revenue: Decimal, kinds: Counter[str]) -> str:
    if revenue >= 1000:
        return "High Value"
    if revenue >= 500:
        return "Medium Value"
    if kinds["purchase"]:
        return "Converting Customer"
    if kinds["cart"]:
        return "Interested Shopper"
    return "Active Browser" if kinds["view"] >= 10 else "Casual Visitor"


def _favourite(values: Iterable[str | None]) -> str | None:
    counts = Counter(value for value in values if value)
    return min(counts, key=lambda value: (-counts[value], value)) if counts else None


Count = tuple[int, Decimal]


def expected_counts(
    messages: Iterable[bytes | None], profiles: dict[str, dict[str, Any]]
) -> dict[tuple[str, ...], Count]:
    """Count events and revenue by day, type, category root, brand and segment."""
    counts: dict[tuple[str, ...], Count] = {}
    for event in distinct_events(messages):
        key = (
            event["event_time"][:10],
            event["event_type"],
            (event["category_code"] or "").split(".")[0] or "(none)",
            event["brand"] or "(none)",
            profiles[event["user_id"]]["customer_segment"],
        )
        revenue = Decimal(event["price"]) if event["event_type"] == "purchase" else Decimal(0)
        number, total = counts.get(key, (0, Decimal(0)))
        counts[key] = number + 1, total + revenue
    return counts


def _lake_counts(objects: dict[str, bytes]) -> dict[tuple[str, ...], Count]:
    names = [name for name in objects if name.startswith("event_metrics/")]
    rows = chain.from_iterable(pl.read_parquet(objects[name]).to_dicts() for name in names)
    return _add_up({**row, "time": f"{row['time']:%Y-%m-%d}"} for row in rows)


def _index_counts(documents: dict[str, dict[str, Any]]) -> dict[tuple[str, ...], Count]:
    return _add_up({**row, "time": row["time"][:10]} for row in documents.values())


def _add_up(rows: Iterable[dict[str, Any]]) -> dict[tuple[str, ...], Count]:
    counts: dict[tuple[str, ...], Count] = {}
    for row in rows:
        if row["granularity"] == "day":
            names = ("time", "event_type", "category", "brand", "customer_segment")
            # The index names no brand where it stands for many.
            key = tuple(row[name] or "(other)" for name in names)
            number, total = counts.get(key, (0, Decimal(0)))
            revenue = Decimal(str(row["revenue"])).quantize(Decimal("0.0001"))
            counts[key] = number + row["events"], total + revenue
    return counts
