"""A file's events played into the topic as if they happened now, at their own pace or faster."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from contracts import RAW_EVENTS, canonical_time
from ingestion.publish import Publisher
from ingestion.run import now_utc
from ingestion.sources import Header, Input, read_blocks, read_header
from ingestion.validate import encode, messages, validate

SOURCE = "live"
"""The field `source` of these events, and the name under which they are published."""
TICK_S = 0.2
"""Events of so many seconds are one transaction."""
BLOCK_BYTES = 1_000_000


@dataclass(slots=True)
class Played:
    """How far it is."""

    sent: int = 0
    rejected: int = 0
    """Rows that do not keep the contract; they are left out."""
    behind_s: float = 0.0
    """By how much the last event came later than it should have."""


def play(
    given: Input,
    publisher: Publisher,
    on_tick: Callable[[Played], None],
    stop: threading.Event,
    *,
    speed: float = 1.0,
    rate: float | None = None,
    clock: Callable[[], datetime] = now_utc,
) -> Played:
    """Send the events of a file, each with the time at which it is sent.

    They are new events, other than those that `ingest` sends of the same file: their times differ, and
    so do their identities.

    Args:
        given: where the rows are; in the order of their times.
        publisher: has taken over `SOURCE`.
        on_tick: told after each transaction.
        stop: ends it after the transaction at hand.
        speed: how many times faster than they happened.
        rate: events per second instead, evenly.
        clock: what time it is.

    Raises:
        IngestError: nothing can be read, or the broker stops answering.
    """
    played = Played()
    began = time.monotonic()
    for events, due in _due(given, played, speed, rate):
        sent = 0
        while sent < events.height and not stop.is_set():
            elapsed = time.monotonic() - began
            upto = int(np.searchsorted(due, elapsed, side="right"))
            if upto <= sent:
                # Not longer than a tick at a time, so that whoever looks sees that it still runs.
                stop.wait(min(TICK_S, due[sent] - elapsed))
                on_tick(played)
                continue
            now = canonical_time(clock().isoformat())
            part = events[sent:upto].with_columns(event_time=pl.lit(now))
            fresh = messages(part, SOURCE)
            publisher.begin()
            publisher.send(RAW_EVENTS.name, fresh["user_id"], encode(fresh))
            publisher.commit()
            played.sent += fresh.height
            played.behind_s = max(0.0, time.monotonic() - began - due[upto - 1])
            sent = upto
            on_tick(played)
            stop.wait(max(0.0, TICK_S - (time.monotonic() - began - elapsed)))
        if stop.is_set():
            break
    return played


def _due(
    given: Input, played: Played, speed: float, rate: float | None
) -> Iterator[tuple[pl.DataFrame, np.ndarray[tuple[int], np.dtype[np.float64]]]]:
    """The events of each block, and when they are due in seconds from the beginning, never falling."""
    first: datetime | None = None
    count, latest = 0, 0.0
    header: Header | None = None
    row = 1
    for block in read_blocks(given, BLOCK_BYTES):
        data = block.data
        if header is None:
            header = read_header(given.label, data)
            data = data[header.size :]
        checked = validate(data, header.columns, SOURCE, row)
        row += checked.read
        played.rejected += checked.rejected.height
        events = checked.accepted
        if not events.height:
            continue
        if rate:
            due = (np.arange(events.height) + count) / rate
        else:
            times = events["event_time"].str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us")
            first = first or times[0]
            due = (times - first).dt.total_microseconds().to_numpy() / 1e6 / speed
        due = np.maximum.accumulate(np.maximum(due, latest))
        latest = float(due[-1])
        count += events.height
        yield events, due
