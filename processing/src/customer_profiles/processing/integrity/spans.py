"""Offsets of stored events: which are inside some spans, and of which batches. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from customer_profiles.lake.batch_records import Batch
from customer_profiles.lake.compaction import DataFile
from customer_profiles.lake.offsets import OffsetSpan


def before(rows: pl.DataFrame, next_offsets: Mapping[int, int]) -> pl.Series:
    """Tell which events lie before the first offset that the lake does not have."""
    return inside(rows, {partition: (0, end) for partition, end in next_offsets.items()})


def after(rows: pl.DataFrame, ranges: Mapping[int, OffsetSpan]) -> pl.Series:
    """Tell which events are of a batch with some offsets, or of a later one of the same topic."""
    return inside(rows, {partition: (start, 2**62) for partition, (start, _) in ranges.items()})


def inside(rows: pl.DataFrame, spans: Mapping[int, OffsetSpan]) -> pl.Series:
    """Tell which events lie inside some offsets of their partition; Boolean."""
    is_inside = pl.lit(value=False)
    for partition, (start, end) in spans.items():
        is_here = pl.col("kafka_partition") == partition
        is_inside |= is_here & (pl.col("kafka_offset") >= start) & (pl.col("kafka_offset") < end)
    return rows.with_columns(is_inside.alias("inside"))["inside"]


def planned(file: DataFile, plans: Mapping[int, Batch]) -> dict[int, OffsetSpan] | None:
    """Return the offsets of a file's batches; None if one of their plans is not known."""
    first, last = plans.get(file.first_batch), plans.get(file.last_batch)
    if first is None or last is None:
        return None
    return {
        partition: (first.ranges.get(partition, (0, 0))[0], end)
        for partition, (_, end) in last.ranges.items()
    }


def batches_of(rows: pl.DataFrame, plans: Mapping[int, Batch]) -> tuple[int, int] | None:
    """Return the first and the last planned batch that have offsets of some events."""
    numbers = [number for number, plan in plans.items() if inside(rows, plan.ranges).any()]
    return (min(numbers), max(numbers)) if numbers else None


def lost_spans(
    spans: Iterable[Mapping[int, OffsetSpan]], offsets: Mapping[int, OffsetSpan]
) -> dict[int, OffsetSpan]:
    """Return the part of some offsets that the topic no longer has.

    Args:
        spans: the offsets of the batches concerned.
        offsets: by partition, the topic's first offset and the one after its last; empty for a
            topic that cannot be used.
    """
    lost: dict[int, OffsetSpan] = {}
    for part in spans:
        for partition, (start, end) in part.items():
            last = min(end, offsets.get(partition, (end, end))[0])
            if start < last:
                before = lost.get(partition, (start, last))
                lost[partition] = (min(start, before[0]), max(last, before[1]))
    return lost
