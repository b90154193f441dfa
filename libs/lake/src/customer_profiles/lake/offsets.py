"""Which offsets come next, and which are gone: pure functions of watermarks and start offsets."""

from __future__ import annotations

from collections.abc import Mapping

OffsetSpan = tuple[int, int]
"""Offsets from a start up to, but not including, an end."""


def next_offset_ranges(
    watermarks: Mapping[int, OffsetSpan], start_offsets: Mapping[int, int], max_events: int
) -> dict[int, OffsetSpan]:
    """Return the offsets of the next micro-batch.

    A partition with less than its share leaves the rest to the others, so that there are as few
    batches as `max_events` allows.

    Args:
        watermarks: by partition, the topic's first offset and the one after its last.
        start_offsets: by partition, the first offset that is in no batch yet.
        max_events: the most events in a batch.

    Returns:
        The offsets of every partition, also of those without new messages, so that the newest plan
        knows all partitions.
    """
    starts = {
        partition: max(low, start_offsets.get(partition, low))
        for partition, (low, _) in watermarks.items()
    }
    waiting = {
        partition: max(0, high - starts[partition]) for partition, (_, high) in watermarks.items()
    }
    ranges: dict[int, OffsetSpan] = {}
    room = max_events
    for number, partition in enumerate(sorted(waiting, key=lambda key: (waiting[key], key))):
        share = max(1, room // (len(waiting) - number))
        taken = min(waiting[partition], share)
        room -= taken
        ranges[partition] = (starts[partition], starts[partition] + taken)
    return dict(sorted(ranges.items()))


def removed_offsets(
    watermarks: Mapping[int, OffsetSpan], start_offsets: Mapping[int, int]
) -> dict[int, OffsetSpan]:
    """Return the offsets that the topic no longer has and that nobody has read.

    Args:
        watermarks: by partition, the topic's first offset and the one after its last.
        start_offsets: by partition, the first offset that has not been read; 0 where it is missing.
    """
    return {
        partition: (start, low)
        for partition, (low, _) in sorted(watermarks.items())
        if (start := start_offsets.get(partition, 0)) < low
    }


def is_shorter(watermarks: Mapping[int, OffsetSpan], start_offsets: Mapping[int, int]) -> bool:
    """Tell whether a topic lacks offsets, or whole partitions, that were there before."""
    return any(
        start > watermarks.get(partition, (0, 0))[1] for partition, start in start_offsets.items()
    )


def removed_of(
    ranges: Mapping[int, OffsetSpan], watermarks: Mapping[int, OffsetSpan]
) -> dict[int, OffsetSpan]:
    """Return the part of some ranges that the topic no longer has, by partition."""
    return {
        partition: (start, min(low, end))
        for partition, (start, end) in ranges.items()
        if (low := watermarks.get(partition, (0, 0))[0]) > start and end > start
    }
