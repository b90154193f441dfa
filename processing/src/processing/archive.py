"""One bucket's events in the lake: an object a micro-batch, small ones joined to larger ones later."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from processing.errors import ProcessError
from processing.lake import Objects, to_parquet

PROFILED = ["event_id", "event_time", "event_type", "category_code", "brand", "price", "user_id", "user_session"]
"""The columns that profiles are made of."""
ORDER = ["user_id", "event_time", "event_id", "kafka_partition", "kafka_offset"]
"""A total order, so that a batch that is done again writes the same bytes."""
ROW_GROUP = 10_000
"""Rows: small enough to read some customers without the others."""
SLICE_EVENTS = 30_000
"""Events that are in memory at once, about; a bucket may have any number."""
JOIN_AT = 8
"""Objects of about the same size that become one."""
MOST_BYTES = 8 * 1024 * 1024
"""Above this size, about 160,000 events, an object is not small any more."""
_NAME = re.compile(r"batch=(\d{6,})(?:-(\d{6,}))?\.parquet$")


@dataclass(frozen=True, slots=True)
class Piece:
    """An object with the events of one micro-batch, or of several that follow each other."""

    name: str
    first: int
    last: int
    size: int
    """In bytes."""


class Archive:
    """The events of one bucket."""

    def __init__(self, lake: Objects, bucket: int) -> None:
        self._lake = lake
        self._folder = f"events/bucket={bucket:02d}/"
        self._read: dict[str, bytes] = {}

    def write(self, batch: int, events: pl.DataFrame) -> None:
        """Write the events of one micro-batch, in place of what an earlier attempt wrote."""
        self._lake.put(f"{self._folder}batch={batch:06d}.parquet", _content(events))

    def pieces(self, through: int) -> list[Piece]:
        """The objects that hold each event up to a batch once, oldest first."""
        return [piece for piece in _uncovered(self._all()) if piece.last <= through]

    def users(self, pieces: Sequence[Piece]) -> pl.Series:
        """Who has events in some objects; each once."""
        columns = [pl.read_parquet(self._open(piece), columns=["user_id"]) for piece in pieces]
        return pl.concat(columns)["user_id"].unique()

    def slices(self, pieces: Sequence[Piece], users: pl.Series) -> Iterator[pl.DataFrame]:
        """All events of some customers, each customer in one slice, in the order of customers.

        A slice has some `SLICE_EVENTS` events at the most, whatever the number of customers and of
        objects; repeats are still in it.
        """
        wanted = users.to_frame()
        events = pl.concat([pl.scan_parquet(self._open(piece)).select("user_id") for piece in pieces])
        counted = events.join(wanted.lazy(), on="user_id", how="semi").group_by("user_id").len().sort("user_id")
        numbered = counted.with_columns(pl.col("len").cum_sum() // SLICE_EVENTS)
        ends = (
            numbered.group_by("len").agg(pl.col("user_id").first(), pl.col("user_id").last().alias("last")).sort("len")
        )
        for _, first, last in ends.collect().iter_rows():
            yield self.events_of(pieces, users, pl.col("user_id").is_between(pl.lit(first), pl.lit(last)))

    def events_of(self, pieces: Sequence[Piece], users: pl.Series, among: pl.Expr | None = None) -> pl.DataFrame:
        """All events of some customers in one frame; repeats are still in it."""
        wanted = users.to_frame()

        def rows(piece: Piece) -> pl.DataFrame:
            found = pl.scan_parquet(self._open(piece)).select(PROFILED)
            # The bounds leave out whole groups of rows; the customers are looked up in what is left.
            read = (found if among is None else found.filter(among)).collect()
            return read.join(wanted, on="user_id", how="semi")

        return pl.concat(map(rows, pieces))

    def join_small(self, through: int) -> int:
        """Join the newest small objects up to a batch to one; returns how many were joined.

        The new object is written before the old ones go. In between they are covered by it, which
        `pieces` knows by their names, and a reader who does not drops repeats by `event_id`.
        """
        everything = self._all()
        kept = _uncovered(everything)
        left = {piece.name for piece in everything} - {piece.name for piece in kept}
        candidates = [piece for piece in kept if piece.last <= through]
        count = to_join([piece.size for piece in candidates])
        if count:
            pieces = candidates[-count:]
            events = pl.concat([pl.read_parquet(self._open(piece)) for piece in pieces])
            name = f"{self._folder}batch={pieces[0].first:06d}-{pieces[-1].last:06d}.parquet"
            self._lake.put(name, _content(events))
            left |= {piece.name for piece in pieces}
        for name in sorted(left):
            self._lake.remove(name)
        return count

    def forget(self) -> None:
        """Give back the memory of what was read; it is read again where it is asked for."""
        self._read.clear()

    def _all(self) -> list[Piece]:
        found = []
        for name, size in self._lake.sizes(self._folder).items():
            if match := _NAME.search(name):
                found.append(Piece(name, int(match[1]), int(match[2] or match[1]), size))
        return found

    def _open(self, piece: Piece) -> io.BytesIO:
        # As it was stored, a sixth of what it takes as columns; read once and looked at several times.
        if piece.name not in self._read:
            found = self._lake.get(piece.name)
            if found is None:
                raise ProcessError(f"{piece.name} has vanished from the lake while it was read.")
            self._read[piece.name] = found[0]
        return io.BytesIO(self._read[piece.name])


def to_join(sizes: Sequence[int]) -> int:
    """How many of the newest objects become one; 0 for none.

    Objects are joined to others of their size and never to one more than twice as large as all of
    them, so an event is written again a logarithmic number of times, however many batches there are.

    Args:
        sizes: in bytes, oldest first.
    """
    joined = count = 0
    for size in reversed(sizes):
        if joined + size > MOST_BYTES or (count and size > 2 * joined):
            break
        joined += size
        count += 1
    return count if count >= JOIN_AT else 0


def _uncovered(pieces: Sequence[Piece]) -> list[Piece]:
    """Without the objects whose batches all lie in a larger one: a run ended before it removed them."""

    def covers(other: Piece, piece: Piece) -> bool:
        return other is not piece and other.first <= piece.first and piece.last <= other.last

    kept = [piece for piece in pieces if not any(covers(other, piece) for other in pieces)]
    return sorted(kept, key=lambda piece: piece.first)


def _content(events: pl.DataFrame) -> bytes:
    return to_parquet(events.sort(ORDER), row_group_size=ROW_GROUP)
