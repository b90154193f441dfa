"""Simulate live traffic: send a file's events as if they happened now, at any pace."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from customer_profiles.common.clock import now_utc
from customer_profiles.contracts import RAW_EVENTS, canonical_time
from customer_profiles.ingestion.blocks import read_blocks
from customer_profiles.ingestion.header import Header, parse_header
from customer_profiles.ingestion.inputs import CsvInput
from customer_profiles.ingestion.messages import encode, to_messages
from customer_profiles.ingestion.validate import validate
from customer_profiles.kafka.producer import Publisher

SOURCE = "live"
"""The message field `source` of simulated events, and the source that a simulation acquires."""
TICK_S = 0.2
"""The events that are due within one tick are one transaction."""
BLOCK_BYTES = 1_000_000

DueTimes = np.ndarray[tuple[int], np.dtype[np.float64]]
"""Seconds from the start of the simulation, ascending."""


@dataclass(slots=True)
class SimulationProgress:
    """How far a simulation has come."""

    sent: int = 0
    rejected: int = 0
    """Invalid rows, which a simulation leaves out."""
    behind_s: float = 0.0
    """How late the last event was sent, in seconds."""


def simulate(
    csv_input: CsvInput,
    publisher: Publisher,
    on_tick: Callable[[SimulationProgress], None],
    stop: threading.Event,
    *,
    speed: float = 1.0,
    rate: float | None = None,
    strict: bool = False,
    clock: Callable[[], datetime] = now_utc,
) -> SimulationProgress:
    """Send the events of an input, each with the time at which it is sent.

    Simulated events are new events. Their times differ from those of the file, and so do their ids.

    Args:
        csv_input: the input, with rows in the order of their times.
        publisher: owns `SOURCE`.
        on_tick: called after each transaction, and at least once per tick.
        stop: ends the simulation after the current transaction.
        speed: how many times faster than in the file the events happen.
        rate: events per second, evenly spread, in place of `speed`.
        strict: accept only what `contracts.check` accepts as it stands.
        clock: returns the current time.

    Raises:
        PipelineError: the input cannot be read, or Kafka stops answering.
    """
    progress = SimulationProgress()
    started = time.monotonic()
    for events, due in _schedule(csv_input, progress, speed, rate, strict):
        sent = 0
        while sent < events.height and not stop.is_set():
            elapsed = time.monotonic() - started
            due_count = int(np.searchsorted(due, elapsed, side="right"))
            if due_count <= sent:
                # Wait for one tick at most, so that the display stays alive.
                stop.wait(min(TICK_S, due[sent] - elapsed))
                on_tick(progress)
                continue
            _send(events[sent:due_count], publisher, clock())
            progress.sent += due_count - sent
            progress.behind_s = max(0.0, time.monotonic() - started - due[due_count - 1])
            sent = due_count
            on_tick(progress)
            stop.wait(max(0.0, TICK_S - (time.monotonic() - started - elapsed)))
        if stop.is_set():
            break
    return progress


def _send(events: pl.DataFrame, publisher: Publisher, now: datetime) -> None:
    """Send events in one transaction, with `now` as their time."""
    messages = to_messages(
        events.with_columns(event_time=pl.lit(canonical_time(now.isoformat()))), SOURCE
    )
    publisher.begin()
    publisher.send(RAW_EVENTS.name, messages["user_id"], encode(messages))
    publisher.commit()


def _schedule(
    csv_input: CsvInput,
    progress: SimulationProgress,
    speed: float,
    rate: float | None,
    strict: bool,
) -> Iterator[tuple[pl.DataFrame, DueTimes]]:
    """Yield the valid events of each block and when they are due; count rejected rows."""
    header: Header | None = None
    first_time: datetime | None = None
    count, latest, row = 0, 0.0, 1
    for block in read_blocks(csv_input, BLOCK_BYTES):
        data = block.data
        if header is None:
            header = parse_header(csv_input.label, data, strict)
            data = data[header.size :]
        validated = validate(
            data, header.columns, SOURCE, row, separator=header.separator, strict=strict
        )
        row += validated.read
        progress.rejected += validated.rejected.height
        events = validated.accepted
        if not events.height:
            continue
        if rate:
            due = (np.arange(events.height) + count) / rate
        else:
            time_text = events["event_time"].str
            times = time_text.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us")
            first_time = first_time or times[0]
            due = (times - first_time).dt.total_microseconds().to_numpy() / 1e6 / speed
        # Rows out of order are due no earlier than the rows before them.
        due = np.maximum.accumulate(np.maximum(due, latest))
        latest = float(due[-1])
        count += events.height
        yield events, due
