"""Gaps while a stream follows the topic: they are noticed, named, and closed when they are filled.

Each look at the topic reads its offsets, so it sees a new gap without another request. What the
gap held is compared once everything has landed that was sent until then. The comparison reads the
lake, so it happens when a gap is new and when all of its sources were sent again, and not with
every micro-batch.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.contracts import Redriven
from customer_profiles.kafka.admin import TopicState
from customer_profiles.kafka.source_records import NO_TOPIC, SourceRecord
from customer_profiles.lake.gaps import REDRIVEN, Gap, open_gaps, read_gaps
from customer_profiles.lake.offsets import OffsetSpan
from customer_profiles.processing.outcome import note_gaps
from customer_profiles.processing.render import gap_lines
from customer_profiles.processing.stages.gaps import settle_gaps
from customer_profiles.processing.stages.topic import Horizon, read_sent
from customer_profiles.processing.state import Context, RunState

logger = logging.getLogger(__name__)

_NO_OFFSETS = TopicState(None, {})


@dataclass(frozen=True, slots=True)
class GapWatch:
    """What a stream knows about gaps between two micro-batches."""

    removed: Mapping[int, OffsetSpan] | None = None
    """The offsets that the last look found to be removed."""
    horizon: Horizon | None = None
    """How far the stream lands before it compares gaps; None while there is nothing to compare."""
    compared: tuple[tuple[str, object], ...] = ()
    """When each source was sent last, when the gaps were compared."""


def watch_gaps(
    context: Context, run: RunState, watch: GapWatch, removed: Mapping[int, OffsetSpan]
) -> tuple[RunState, GapWatch]:
    """Note new gaps, and compare them with the lake as soon as that can be done.

    Args:
        context: the clients of the run.
        run: what has landed.
        watch: what is known so far.
        removed: the offsets that this step found to be removed before they were read.
    """
    if removed and removed != watch.removed:
        run = _with_gaps(context, run, open_gaps(read_gaps(context.store)))
        # Without an answer of Kafka, `look_again` makes up for it.
        watch = replace(watch, removed=removed, horizon=_read_sent(context))
    if watch.horizon is None or not _has_landed(context, watch.horizon):
        return run, watch
    settled = settle_gaps(context, run, watch.horizon)
    return _with_gaps(context, run, settled.gaps), replace(watch, horizon=None)


def look_again(context: Context, run: RunState, watch: GapWatch) -> GapWatch:
    """See whether open gaps can be compared: their sources are unknown, or were all sent again."""
    if not run.gaps or watch.horizon is not None:
        return watch
    horizon = _read_sent(context)
    if horizon is None:
        return watch
    sources = horizon.sources or {}
    newest = (
        *((name, sources[name].content.get("updated_at")) for name in sorted(sources)),
        (REDRIVEN, sorted(one.replayed_at for one in horizon.redriven.values())),
    )
    may_be_filled = newest != watch.compared and any(
        _is_sent_again(gap, sources, horizon.redriven) for gap in run.gaps
    )
    if may_be_filled or any(gap.sources is None for gap in run.gaps):
        return replace(watch, horizon=horizon, compared=newest)
    return watch


def settle_at_end(context: Context, run: RunState) -> RunState:
    """Close gaps that were filled since the stream looked last."""
    if not run.gaps:
        return run
    settled = settle_gaps(context, run, Horizon(_NO_OFFSETS))
    return _with_gaps(context, run, settled.gaps)


def _read_sent(context: Context) -> Horizon | None:
    try:
        return read_sent(context)
    except PipelineError as error:
        logger.warning(
            "it could not be seen what was lost: %s",
            first_line(error),
            extra={"event": "gaps_not_compared"},
        )
        return None


def _has_landed(context: Context, horizon: Horizon) -> bool:
    landed = context.batch_log.next_offsets()
    return context.batch_log.uncommitted() is None and all(
        landed.get(partition, 0) >= end
        for partition, (low, end) in horizon.topic.watermarks.items()
        if end > low
    )


def _is_sent_again(
    gap: Gap, sources: Mapping[str, SourceRecord], redriven: Mapping[str, Redriven]
) -> bool:
    names = {source.source for source in gap.sources or ()}
    if REDRIVEN in names and any(record.topic_id == NO_TOPIC for record in redriven.values()):
        return False
    records = [sources.get(name) for name in names - {REDRIVEN}]
    return bool(names) and all(
        record is not None and record.content.get("topic_id") != NO_TOPIC for record in records
    )


def _with_gaps(context: Context, run: RunState, gaps: tuple[Gap, ...]) -> RunState:
    """Tell people about gaps that have changed, at once and in `make status`."""
    if gaps != run.gaps:
        described = [gap.to_json() for gap in gaps]
        note_gaps(described, context.settings.reports)
        for line in gap_lines(described):
            logger.warning("%s", line, extra={"event": "gaps_changed"})
    return replace(run, gaps=gaps)
