"""Ways to damage a lake, an index and a topic, each as a small function of the lake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from customer_profiles.contracts import RAW_EVENTS
from tests.unit.processing.damaged_lakes import DamagedLake

NO_ATTRIBUTES: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Damage:
    """One damage, and what a finding about it has to name."""

    kind: str
    target: str
    apply: Callable[[DamagedLake], None]
    named: tuple[str, ...]
    """A finding has to name one of these: the beginning of an object's name."""

    def __str__(self) -> str:
        return f"{self.kind} {self.target}"


def delete(name: str) -> Damage:
    def apply(lake: DamagedLake) -> None:
        lake.store.delete(name)

    return Damage("delete", name, apply, (name,))


def truncate(name: str, share: float = 0.5, *, foreign: bool = False) -> Damage:
    """Cut an object on the disk, or let another program write a part of it."""

    def apply(lake: DamagedLake) -> None:
        data, attributes, etag = lake.store.copy()[name]
        cut = data[: int(len(data) * share)]
        lake.store.place(name, (cut, *_signs(attributes, etag, foreign=foreign)))

    return Damage(_kind("truncate", foreign=foreign), name, apply, (name,))


def flip(name: str, place: float = 0.5, *, foreign: bool = False) -> Damage:
    """Change one byte on the disk, or let another program write the object with one changed."""

    def apply(lake: DamagedLake) -> None:
        data, attributes, etag = lake.store.copy()[name]
        position = min(int(len(data) * place), len(data) - 1)
        changed = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        lake.store.place(name, (changed, *_signs(attributes, etag, foreign=foreign)))

    return Damage(_kind("flip", foreign=foreign), name, apply, (name,))


def swap(name: str, other: str, *, foreign: bool = False) -> Damage:
    """Exchange two objects, with or without what they say about themselves."""

    def apply(lake: DamagedLake) -> None:
        copied = lake.store.copy()
        for place, source in ((name, other), (other, name)):
            data, attributes, etag = copied[source]
            # Another program's copy of an object has the entity tag of its content.
            lake.store.place(place, (data, NO_ATTRIBUTES if foreign else attributes, etag))

    return Damage(_kind("swap", foreign=foreign), f"{name} ↔ {other}", apply, (name, other))


def roll_back(name: str, batch: int, *, foreign: bool = False) -> Damage:
    """Bring back an object as it was after an earlier batch; it may not have been there."""

    def apply(lake: DamagedLake) -> None:
        earlier = lake.copies[batch - 1]["objects"].get(name)
        if earlier is None:
            lake.store.delete(name)
        else:
            data, attributes, etag = earlier
            lake.store.place(name, (data, NO_ATTRIBUTES if foreign else attributes, etag))

    return Damage(_kind(f"roll back to batch {batch}", foreign=foreign), name, apply, (name,))


def roll_back_all(prefix: str, batch: int) -> Damage:
    """Bring back all objects below a prefix as they were after an earlier batch."""

    def apply(lake: DamagedLake) -> None:
        earlier = lake.copies[batch - 1]["objects"]
        for name in lake.named(prefix):
            lake.store.delete(name)
        for name, copied in earlier.items():
            if name.startswith(prefix):
                lake.store.place(name, copied)

    named = ("events/", "_state/", "customer_profiles/", "event_metrics/", "index ")
    return Damage(f"roll back to batch {batch}", f"{prefix or 'lake'}*", apply, named)


def _signs(attributes: dict[str, str], etag: str, *, foreign: bool) -> tuple[dict[str, str], str]:
    return (NO_ATTRIBUTES, f"{etag}-foreign") if foreign else (attributes, etag)


def _kind(kind: str, *, foreign: bool) -> str:
    return f"{kind} by another program" if foreign else kind


# ---- the index


def delete_documents(count: int) -> Damage:
    def apply(lake: DamagedLake) -> None:
        stored = _live(lake)
        for user_id in sorted(stored)[:count]:
            del stored[user_id]

    return Damage("delete", f"{count} documents of the index", apply, ("index customer_profiles",))


def change_document() -> Damage:
    def apply(lake: DamagedLake) -> None:
        stored = _live(lake)
        user_id = sorted(stored)[1]
        version, content = stored[user_id]
        stored[user_id] = version, {**content, "favorite_brand": "forged"}
        _refresh(lake)

    return Damage("flip", "a document of the index", apply, ("index customer_profiles",))


def swap_documents() -> Damage:
    def apply(lake: DamagedLake) -> None:
        stored = _live(lake)
        first, second = sorted(stored)[:2]
        stored[first], stored[second] = stored[second], stored[first]
        _refresh(lake)

    return Damage("swap", "two documents of the index", apply, ("index customer_profiles",))


def add_document() -> Damage:
    def apply(lake: DamagedLake) -> None:
        stored = _live(lake)
        version, content = stored[sorted(stored)[0]]
        stored["999"] = version, {**content, "user_id": "999"}
        _refresh(lake)

    return Damage("add", "a document to the index", apply, ("index customer_profiles",))


def delete_index() -> Damage:
    def apply(lake: DamagedLake) -> None:
        lake.pipeline.index.delete_live()

    return Damage("delete", "the index", apply, ("index customer_profiles",))


def roll_back_index(batch: int) -> Damage:
    def apply(lake: DamagedLake) -> None:
        live = lake.pipeline.index.live
        assert live is not None
        earlier = lake.copies[batch - 1]["index"]
        lake.pipeline.index.stored[live.name] = dict(earlier["stored"][live.name])
        lake.pipeline.index._visible[live.name] = dict(earlier["_visible"][live.name])

    return Damage(f"roll back to batch {batch}", "the index", apply, ("index customer_profiles",))


def delete_counts(index: str, *, whole: bool) -> Damage:
    """Delete an index of charts, or one document of it."""

    def apply(lake: DamagedLake) -> None:
        indices = lake.pipeline.metrics_indices
        if whole:
            indices.delete(index)
        else:
            del indices.documents[index][sorted(indices.documents[index])[0]]

    target = f"the index {index}" if whole else f"a document of the index {index}"
    return Damage("delete", target, apply, (f"index {index}",))


def change_counts(index: str, field: str) -> Damage:
    def apply(lake: DamagedLake) -> None:
        documents = lake.pipeline.metrics_indices.documents[index]
        key = sorted(documents)[0]
        documents[key] = {**documents[key], field: documents[key][field] + 1}

    return Damage("flip", f"a document of the index {index}", apply, (f"index {index}",))


def _live(lake: DamagedLake) -> dict[str, tuple[int, dict[str, object]]]:
    live = lake.pipeline.index.live
    assert live is not None
    return lake.pipeline.index.stored[live.name]


def _refresh(lake: DamagedLake) -> None:
    lake.pipeline.index.refresh(lake.pipeline.index.ensure())


# ---- the topics


def make_topic_anew(*, filled: bool) -> Damage:
    """Delete `raw_events` and make it anew, empty or filled beyond the old offsets."""

    def apply(lake: DamagedLake) -> None:
        topics = lake.pipeline.topics
        before = {key: list(stored) for key, stored in topics._messages.items()}
        topics.make_anew()
        if filled:
            for partition in range(RAW_EVENTS.partitions):
                values = [value for value, _ in before.get((RAW_EVENTS.name, partition), [])]
                topics.produce(*reversed(values), *values, partition=partition)

    target = "raw_events, made anew and filled" if filled else "raw_events, made anew"
    return Damage("delete", target, apply, ("topic raw_events",))


def cut_topic(topic: str) -> Damage:
    """Take the last message of each partition away."""

    def apply(lake: DamagedLake) -> None:
        for (name, _), stored in lake.pipeline.topics._messages.items():
            if name == topic:
                stored.pop()

    return Damage("truncate", topic, apply, (f"topic {topic}",))


def remove_read_messages() -> Damage:
    """Remove messages that the lake has, as retention does."""

    def apply(lake: DamagedLake) -> None:
        for partition in range(RAW_EVENTS.partitions):
            lake.pipeline.topics.remove(5, partition)

    return Damage("truncate", "the beginning of raw_events", apply, ())


def change_message() -> Damage:
    def apply(lake: DamagedLake) -> None:
        stored = lake.pipeline.topics._messages[RAW_EVENTS.name, 0]
        value, produced = stored[0]
        stored[0] = (
            (value or b"").replace(b"view", b"cart").replace(b'"event_id":"', b'"event_id":"0')[:],
            produced,
        )

    return Damage("flip", "a message of raw_events", apply, ("topic raw_events",))


def swap_messages() -> Damage:
    def apply(lake: DamagedLake) -> None:
        stored = lake.pipeline.topics._messages[RAW_EVENTS.name, 0]
        stored[0], stored[1] = stored[1], stored[0]

    return Damage("swap", "two messages of raw_events", apply, ("topic raw_events",))


def roll_back_topics(topic: str, batch: int) -> Damage:
    def apply(lake: DamagedLake) -> None:
        messages = lake.pipeline.topics._messages
        for key, stored in lake.copies[batch - 1]["topics"]["_messages"].items():
            if key[0] == topic:
                messages[key] = list(stored)

    return Damage(f"roll back to batch {batch}", topic, apply, (f"topic {topic}",))
