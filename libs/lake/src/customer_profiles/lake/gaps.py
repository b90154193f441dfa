"""Gaps: messages that were removed from `raw_events` before they reached the lake.

A gap is open until the lake has the rows that it held, or until a person accepts the loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from customer_profiles.lake.layout import GAPS
from customer_profiles.lake.object_store import ObjectStore

REDRIVEN = "dead letters/redriven"
"""Stands for the source of redriven rows in a gap. No file's name has a slash."""


@dataclass(frozen=True, slots=True)
class IncompleteSource:
    """A source that was ingested and whose rows are not all in the lake."""

    source: str
    rows: int
    """Rows that ingestion sent as events, or that were redriven."""
    missing: int
    """How many of them the lake lacks."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Offsets of one partition that nobody can read any more."""

    partition: int
    first_offset: int
    last_offset: int | None
    """None if it is unknown, because the whole topic is gone."""
    topic_id: str | None
    found_at: str
    """ISO 8601, UTC."""
    sources: tuple[IncompleteSource, ...] | None = None
    """What the gap may have held; None until the lake was compared with `ingest_progress`."""
    closed_at: str | None = None
    """When the gap was filled or accepted; ISO 8601, UTC. None while it is open."""

    @property
    def key(self) -> tuple[str | None, int, int]:
        """What two records of one gap have in common."""
        return self.topic_id, self.partition, self.first_offset

    def to_json(self) -> dict[str, Any]:
        """Return the gap's entry in the object and in the report."""
        sources = self.sources
        return {
            "partition": self.partition,
            "first_offset": self.first_offset,
            "last_offset": self.last_offset,
            "topic_id": self.topic_id,
            "found_at": self.found_at,
            "sources": None
            if sources is None
            else [
                {"source": source.source, "rows": source.rows, "missing": source.missing}
                for source in sources
            ],
            "closed_at": self.closed_at,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Gap:
        """Read a gap's entry."""
        sources = content["sources"]
        return cls(
            content["partition"],
            content["first_offset"],
            content["last_offset"],
            content["topic_id"],
            content["found_at"],
            None if sources is None else tuple(IncompleteSource(**source) for source in sources),
            content["closed_at"],
        )


def describe_offsets(gap: Gap) -> str:
    """Return a gap's offsets for people."""
    if gap.last_offset is None:
        return f"offsets from {gap.first_offset:,} on"
    return f"offsets {gap.first_offset:,} to {gap.last_offset:,}"


def read_gaps(store: ObjectStore) -> tuple[Gap, ...]:
    """Return all gaps, closed ones too, in the order in which they were found."""
    content = store.get_json(GAPS) or {"gaps": []}
    return tuple(Gap.from_json(gap) for gap in content["gaps"])


def write_gaps(store: ObjectStore, gaps: Iterable[Gap]) -> None:
    """Write all gaps."""
    store.put_json(GAPS, {"gaps": [gap.to_json() for gap in gaps]})


def with_found(gaps: Iterable[Gap], found: Iterable[Gap]) -> tuple[Gap, ...]:
    """Add gaps. One that was found before and has grown since is looked at again.

    A run that is killed before it plans beyond a gap finds the gap a second time.
    """
    known = {gap.key: gap for gap in gaps}
    for gap in found:
        before = known.get(gap.key)
        if before is None:
            known[gap.key] = gap
        elif before.last_offset != gap.last_offset:
            known[gap.key] = replace(gap, found_at=before.found_at)
    return tuple(known.values())


def open_gaps(gaps: Iterable[Gap]) -> tuple[Gap, ...]:
    """Return the gaps that are neither filled nor accepted."""
    return tuple(gap for gap in gaps if gap.closed_at is None)


def compared(gap: Gap, sent: Mapping[str, int], landed: Mapping[str, int], now: str) -> Gap:
    """Return a gap with what the lake lacks of the sources that the gap may have held.

    Args:
        gap: an open gap.
        sent: by source, the rows that ingestion sent as events. The gap keeps those it knows,
            except of redriven rows, which become more.
        landed: by source, the rows in the lake.
        now: ISO 8601, UTC.

    Returns:
        The gap, closed if it held rows of known sources and the lake has all of them now. A gap of
        which no source is known stays open: what it held came from another program.
    """
    before = gap.sources
    rows = dict(sent) if before is None else {source.source: source.rows for source in before}
    if REDRIVEN in rows:
        rows[REDRIVEN] = sent.get(REDRIVEN, 0)
    sources = tuple(
        IncompleteSource(source, number, number - landed.get(source, 0))
        for source, number in sorted(rows.items())
        if landed.get(source, 0) < number
    )
    # Of a topic that is gone as a whole, nobody knows whether it had more than was read.
    is_filled = not sources and (bool(before) or gap.last_offset is None)
    return replace(gap, sources=sources, closed_at=now if is_filled else None)
