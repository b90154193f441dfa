"""Find exact repeats of events that were accepted before."""

from __future__ import annotations

import polars as pl


class Seen:
    """The identities of all events accepted from one source, 16 bytes each."""

    def __init__(self) -> None:
        self._ids: set[bytes] = set()

    def drop_repeats(self, events: pl.DataFrame) -> pl.DataFrame:
        """The events not seen before, each the first time it comes, and remember them."""
        fresh = []
        for text in events["event_id"].to_list():
            identity = bytes.fromhex(text)
            fresh.append(identity not in self._ids)
            self._ids.add(identity)
        return events.filter(pl.Series(fresh, dtype=pl.Boolean))
