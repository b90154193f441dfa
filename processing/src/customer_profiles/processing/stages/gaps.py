"""The look at gaps: which sources they held, and whether the lake has their rows by now."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from customer_profiles.common.clock import now_utc
from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.contracts import Redriven
from customer_profiles.kafka.redriven_records import mark_redriven_lost, read_redriven
from customer_profiles.kafka.source_records import NO_TOPIC, mark_lost
from customer_profiles.lake.gaps import (
    REDRIVEN,
    Gap,
    compared,
    open_gaps,
    read_gaps,
    write_gaps,
)
from customer_profiles.processing.stages.topic import Horizon
from customer_profiles.processing.state import Context, RunState
from customer_profiles.processing.tasks.sources import PresentEvents, count_sources

logger = logging.getLogger(__name__)


def settle_gaps(
    context: Context,
    state: RunState,
    horizon: Horizon,
    *,
    complete: bool = True,
    accept: bool = False,
) -> RunState:
    """Compare open gaps with the lake: name the sources that they held, close what is filled.

    A failure is logged, and the next run makes up for it.

    Args:
        context: the clients of the run.
        state: what has landed.
        horizon: how far the run lands.
        complete: everything up to the horizon has landed. Otherwise nothing is compared.
        accept: close all open gaps, because nobody can or will fill them.
    """
    gaps = read_gaps(context.store)
    if not open_gaps(gaps):
        return state
    now = now_utc().isoformat(timespec="seconds")
    if accept:
        gaps = tuple(replace(gap, closed_at=gap.closed_at or now) for gap in gaps)
        write_gaps(context.store, gaps)
    elif complete:
        try:
            gaps = _compare(context, state, horizon, gaps, now)
        except PipelineError as error:
            logger.warning(
                "it could not be seen what was lost: %s",
                first_line(error),
                extra={"event": "gaps_not_compared"},
            )
    return replace(state, gaps=open_gaps(gaps))


def _compare(
    context: Context, state: RunState, horizon: Horizon, gaps: tuple[Gap, ...], now: str
) -> tuple[Gap, ...]:
    unknown = [
        gap for gap in open_gaps(gaps) if gap.sources is None and horizon.sources is not None
    ]
    refilled = [gap for gap in open_gaps(gaps) if gap.sources and state.batches]
    if not unknown and not refilled:
        return gaps
    # Read before the topic's ends where rows may be called lost: those are in the lake by now.
    redriven = horizon.redriven if unknown else read_redriven(context.tasks.kafka)
    landed, present = _count(context, state, redriven)
    lost_rows = {
        letter: record for letter, record in redriven.items() if record.event_id not in present
    }
    known = horizon.sources or {}
    sent = {source: record.accepted for source, record in known.items()}
    sent[REDRIVEN], landed[REDRIVEN] = len(redriven), len(redriven) - len(lost_rows)
    after = {gap.key: compared(gap, sent, landed, now) for gap in (*unknown, *refilled)}
    named = {source.source for gap in unknown for source in after[gap.key].sources or ()}
    lost = [
        known[source]
        for source in sorted(named - {REDRIVEN})
        if known[source].content.get("topic_id") != NO_TOPIC
    ]
    # Before the gap names them: a run that is killed in between looks again.
    mark_lost(context.tasks.kafka, lost)
    if REDRIVEN in named:
        mark_redriven_lost(context.tasks.kafka, lost_rows)
    gaps = tuple(after.get(gap.key, gap) for gap in gaps)
    write_gaps(context.store, gaps)
    for gap in after.values():
        if gap.closed_at:
            logger.info(
                "the gap in raw_events/%d is filled", gap.partition, extra={"event": "gap_filled"}
            )
    return gaps


def _count(
    context: Context, state: RunState, redriven: Mapping[str, Redriven]
) -> tuple[Counter[str], set[str]]:
    """Count what the lake has of each source, on the cluster.

    Returns:
        The rows by source, and which redriven events the lake has.
    """
    context.start_spark(state.live_index)
    cluster = context.spark.start()
    buckets = range(context.settings.buckets)
    groups = min(len(buckets), 4 * cluster.cores)
    keys = [(record.event_id, record.source, record.source_row) for record in redriven.values()]
    count = partial(count_sources, context.tasks, context.batch_log.last_committed, keys)
    rdd = cluster.context.parallelize(list(buckets), groups).mapPartitions(count)
    counts: Counter[str] = Counter()
    present: set[str] = set()
    for result in context.spark.run(rdd, "sources", groups):
        if isinstance(result, PresentEvents):
            present |= result.event_ids
        else:
            counts[result.source] += result.rows
    return counts, present
