"""The look at the topic: which one it is, which offsets it has, and what was lost of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from customer_profiles.common.clock import now_utc
from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import Redriven
from customer_profiles.kafka.admin import TopicState, topic_state
from customer_profiles.kafka.redriven_records import read_redriven
from customer_profiles.kafka.source_records import SourceRecord, read_sources
from customer_profiles.lake.batch_log import LandedBatch
from customer_profiles.lake.gaps import (
    Gap,
    describe_offsets,
    open_gaps,
    read_gaps,
    with_found,
    write_gaps,
)
from customer_profiles.lake.offsets import OffsetSpan, is_shorter, removed_offsets
from customer_profiles.lake.runs import busy_error, is_other_running, this_run
from customer_profiles.processing.stages.quality import save_statistics
from customer_profiles.processing.state import Context

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Horizon:
    """How far a run lands. What is produced later belongs to the next run."""

    topic: TopicState
    sources: Mapping[str, SourceRecord] | None = None
    """The sources that are in the topic up to here; None where nobody has to know them."""
    redriven: Mapping[str, Redriven] = field(default_factory=dict)
    """The redriven rows that are in the topic up to here, by dead letter; with `sources` alone."""
    is_new: bool = False
    """The topic is not the one that the batch log knows."""
    removed: Mapping[int, OffsetSpan] = field(default_factory=dict)
    """The offsets that were removed before they were read, by partition."""


def look_at_topic(
    context: Context, *, accept_new: bool = False, with_sources: bool = False
) -> Horizon:
    """Read the committed ends of the topic, and record what was removed before it was read.

    Args:
        context: the clients of the run.
        accept_new: go on with a topic that is not the one that the lake was filled from.
        with_sources: the run compares gaps with the sources when it has landed.

    Raises:
        PipelineError: Kafka does not answer, or the topic is another one than before.
        WriteConflictError: another run is landing a batch.
    """
    log, kafka = context.batch_log, context.tasks.kafka
    topic = topic_state(kafka)
    known_id, starts = log.topic_id(), log.next_offsets()
    uncommitted = log.uncommitted()
    if uncommitted is not None:
        if is_other_running(uncommitted.planned_by):
            raise busy_error(uncommitted.number, uncommitted.planned_by)
        starts |= {partition: start for partition, (start, _) in uncommitted.ranges.items()}
    is_other = None not in (known_id, topic.topic_id) and known_id != topic.topic_id
    found: list[Gap] = []
    is_new = is_other or is_shorter(topic.watermarks, log.next_offsets())
    if is_new:
        if not accept_new:
            raise _other_topic(known_id, topic, is_other=is_other)
        found = [_gap(partition, (start, None), known_id) for partition, start in starts.items()]
        starts = {}
    removed = removed_offsets(topic.watermarks, starts)
    found += [_gap(partition, span, topic.topic_id) for partition, span in removed.items()]
    _record(context, found)
    horizon = Horizon(topic, is_new=is_new, removed=removed)
    # Nobody has compared a gap with them whose sources are not named yet.
    if with_sources and any(gap.sources is None for gap in open_gaps(read_gaps(context.store))):
        sent = read_sent(context)
        return replace(sent, is_new=is_new, removed=removed)
    return horizon


def read_sent(context: Context) -> Horizon:
    """Return what ingestion and redrives have sent up to now.

    The topic's ends are read last, so that a run up to there lands everything that was sent.

    Raises:
        PipelineError: Kafka does not answer.
    """
    kafka = context.tasks.kafka
    redriven = read_redriven(kafka)
    try:
        sources = read_sources(kafka)
    except PipelineError as error:
        # Other programs may have filled the topic, so that there are no such records.
        logger.debug("no sources are known: %s", error)
        sources = {}
    return Horizon(topic_state(kafka), sources, redriven)


def _gap(partition: int, span: tuple[int, int | None], topic_id: str | None) -> Gap:
    start, end = span
    last = None if end is None else end - 1
    return Gap(partition, start, last, topic_id, now_utc().isoformat(timespec="seconds"))


def _record(context: Context, found: Sequence[Gap]) -> None:
    """Record gaps before a plan leaves them out, so that none is left out in silence."""
    if not found:
        return
    before = read_gaps(context.store)
    after = with_found(before, found)
    if after == before:
        return
    write_gaps(context.store, after)
    for gap in found:
        logger.warning(
            "%s of raw_events/%d were removed before they were read; the run goes on behind them",
            describe_offsets(gap),
            gap.partition,
            extra={"event": "gap_found"},
        )


def plan_start(context: Context, topic: TopicState) -> None:
    """Note by a batch without messages that another topic is read from its first offset."""
    log = context.batch_log
    spans = {partition: (low, low) for partition, (low, _) in topic.watermarks.items()}
    batch = log.plan(spans, context.settings.buckets, topic_id=topic.topic_id, run=this_run())
    # Every committed batch has statistics, so that none counts as lost.
    save_statistics(context.store, batch.number, [], None)
    log.commit(batch, LandedBatch(0, 0, {}))


def _other_topic(known_id: str | None, topic: TopicState, *, is_other: bool) -> PipelineError:
    seen = (
        f"its id is {topic.topic_id}, and the lake was filled from {known_id}"
        if is_other
        else "it ends before the offsets that the lake has"
    )
    return PipelineError(
        f"raw_events was made anew beside an old lake: {seen}.\n"
        "If Kafka's old data can be brought back, do that. Otherwise run `make process "
        "NEW_TOPIC=1`: the lake keeps its events and reads the new topic from its first offset, "
        "and an event that is in both counts once."
    )
