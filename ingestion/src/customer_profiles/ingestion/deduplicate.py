"""Find exact repeats of accepted events, however far apart they are, in bounded memory."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Segment:
    """Where the ids of one block are in the file of the `Deduplicator`."""

    first_time: str
    last_time: str
    offset: int
    size: int


class Deduplicator:
    """The ids of all events accepted from one source, in a temporary file, 16 bytes each.

    The file has a segment for each block, with the first and last time of the block's events. A
    repeat has the same time as its original, so a block is compared only with segments whose time
    span overlaps its own. In a file sorted by time, that is the previous segment. In an unsorted
    file it is every segment: slower, and just as exact.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as its owner
        self._segments: list[Segment] = []
        self._end = 0

    def drop_duplicates(self, events: pl.DataFrame) -> pl.DataFrame:
        """Remember events, and return those that occur here for the first time.

        Args:
            events: `event_id` and `event_time` as in a message, among other columns.
        """
        if events.is_empty():
            return events
        is_new = events["event_id"].is_first_distinct()
        first_time, last_time = _time_span(events)
        for segment in self._segments:
            if segment.first_time <= last_time and first_time <= segment.last_time:
                times = events["event_time"]
                overlap = times.is_between(segment.first_time, segment.last_time).arg_true()
                ids = _to_binary(_pack(events["event_id"].gather(overlap)))
                is_known = ids.is_in(self._read(segment).implode())
                is_new = is_new.scatter(overlap.filter(is_known), False)
        if not is_new.all():
            events = events.filter(is_new)
        if events.height:
            self._append(events)
        return events

    def _append(self, events: pl.DataFrame) -> None:
        data = _pack(events["event_id"])
        self._segments.append(Segment(*_time_span(events), self._end, len(data)))
        self._file.seek(self._end)
        self._file.write(data)
        self._end += len(data)

    def _read(self, segment: Segment) -> pl.Series:
        self._file.seek(segment.offset)
        return _to_binary(self._file.read(segment.size))


def _time_span(events: pl.DataFrame) -> tuple[str, str]:
    time = pl.col("event_time")
    first, last = events.select(first=time.min(), last=time.max()).row(0)
    return str(first), str(last)


def _pack(event_ids: pl.Series) -> bytes:
    """Convert ids from hexadecimal text to bytes, one after another."""
    array = event_ids.to_arrow(compat_level=pl.CompatLevel.oldest())
    digits = 2 * ID_BYTES
    start = array.offset * digits
    text = memoryview(array.buffers()[2])[start : start + len(array) * digits]
    return bytes.fromhex(str(text, "ascii"))


def _to_binary(packed: bytes) -> pl.Series:
    """Convert packed ids to a Series of type Binary, without copying each."""
    count = len(packed) // ID_BYTES
    array = pa.Array.from_buffers(pa.binary(ID_BYTES), count, [None, pa.py_buffer(packed)])
    return pl.Series("event_id", array.cast(pa.binary()))
