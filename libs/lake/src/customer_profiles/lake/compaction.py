"""Which data files of a bucket are live, and which should become one. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MIN_COMPACTED_FILES = 8
"""Compaction merges at least this many files, all of about the same size."""
MAX_COMPACTED_BYTES = 8 * 1024 * 1024
"""Compaction makes no larger files. They hold about 160,000 events."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A Parquet object with the events of one micro-batch, or of several consecutive ones."""

    name: str
    first_batch: int
    last_batch: int
    size_bytes: int
    etag: str = ""


def plan_compaction(sizes: Sequence[int]) -> int:
    """Decide how many of the newest files should become one.

    A file is merged with files of its size, never with one that is more than twice as large as all
    of them. So an event is rewritten a logarithmic number of times, however many batches there are.

    Args:
        sizes: sizes of the live files in bytes, oldest first.

    Returns:
        The number of files to merge; 0 for none.
    """
    merged_bytes = count = 0
    for size in reversed(sizes):
        too_large = merged_bytes + size > MAX_COMPACTED_BYTES
        if too_large or (count and size > 2 * merged_bytes):
            break
        merged_bytes += size
        count += 1
    return count if count >= MIN_COMPACTED_FILES else 0


def live_files(files: Sequence[DataFile]) -> list[DataFile]:
    """Return the files that together hold each event once, oldest first.

    A file is not live if another one covers all of its batches. Such files remain when a run ends
    between writing a compacted file and deleting the files that it replaces.

    Args:
        files: all data files of one bucket.
    """
    # A file that begins earlier, or at the same batch and ends later, is the only one to cover it.
    ordered = sorted(files, key=lambda file: (file.first_batch, -file.last_batch))
    live: list[DataFile] = []
    covered_up_to = -1
    for file in ordered:
        if file.last_batch > covered_up_to:
            live.append(file)
            covered_up_to = file.last_batch
    return live
