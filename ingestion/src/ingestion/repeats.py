"""Find exact repeats of events that were accepted before, however far apart, in bounded memory."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Run:
    """The identities of one block, in the file of `Seen`."""

    first_time: str
    last_time: str
    offset: int
    size: int


class Seen:
    """The identities of all events accepted from one source.

    They lie in a temporary file, 16 bytes each, a run for each block with the first and the last
    time of its events. A repeat has the same time as the event that it repeats, so a block is
    compared only with runs whose span of time it touches: in a file sorted by time that is the run
    before it, and in one that is not sorted it is every run, which is slower and as exact.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as its owner
        self._runs: list[Run] = []
        self._end = 0

    def drop_repeats(self, events: pl.DataFrame) -> pl.DataFrame:
        """The events not seen before, each the first time it comes, and remember them.

        Args:
            events: `event_id` and `event_time` as they stand in a message, among others.
        """
        if events.is_empty():
            return events
        fresh = events["event_id"].is_first_distinct()
        first_time, last_time = _span(events)
        for run in self._runs:
            if run.first_time <= last_time and first_time <= run.last_time:
                touched = events["event_time"].is_between(run.first_time, run.last_time).arg_true()
                known = _identities(_packed(events["event_id"].gather(touched))).is_in(self._read(run).implode())
                fresh = fresh.scatter(touched.filter(known), False)
        if not fresh.all():
            events = events.filter(fresh)
        if events.height:
            self._remember(events)
        return events

    def _remember(self, events: pl.DataFrame) -> None:
        data = _packed(events["event_id"])
        self._runs.append(Run(*_span(events), self._end, len(data)))
        self._file.seek(self._end)
        self._file.write(data)
        self._end += len(data)

    def _read(self, run: Run) -> pl.Series:
        self._file.seek(run.offset)
        return _identities(self._file.read(run.size))


def _span(events: pl.DataFrame) -> tuple[str, str]:
    first, last = events.select(first=pl.col("event_time").min(), last=pl.col("event_time").max()).row(0)
    return str(first), str(last)


def _packed(event_ids: pl.Series) -> bytes:
    """The bytes of identities that are given as hexadecimal digits."""
    array = event_ids.to_arrow(compat_level=pl.CompatLevel.oldest())
    digits = 2 * ID_BYTES
    begin = array.offset * digits
    text = memoryview(array.buffers()[2])[begin : begin + len(array) * digits]
    return bytes.fromhex(str(text, "ascii"))


def _identities(packed: bytes) -> pl.Series:
    count = len(packed) // ID_BYTES
    array = pa.Array.from_buffers(pa.binary(ID_BYTES), count, [None, pa.py_buffer(packed)])
    return pl.Series("event_id", array.cast(pa.binary()))
