"""The schedule of one run: everything new in the topic becomes profiles, then the run ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from customer_profiles.kafka.admin import TopicState
from customer_profiles.kafka.errors import OffsetOutOfRangeError
from customer_profiles.lake.batch_log import LandedBatch, OffsetSpan
from customer_profiles.processing.patience import Retry, try_once
from customer_profiles.processing.report import RunReport
from customer_profiles.processing.stages.build_profiles import build_profiles
from customer_profiles.processing.stages.count_events import count_events
from customer_profiles.processing.stages.gaps import settle_gaps
from customer_profiles.processing.stages.index import publish_index
from customer_profiles.processing.stages.land import land_batch
from customer_profiles.processing.stages.plan import load_state, plan_batch, plan_profiles
from customer_profiles.processing.stages.publish import publish_report, publish_run
from customer_profiles.processing.stages.quarantine import hold_back
from customer_profiles.processing.stages.topic import look_at_topic, plan_start
from customer_profiles.processing.state import Context, RunState

logger = logging.getLogger(__name__)


def process(
    context: Context,
    *,
    rebuild: bool = False,
    accept_new_topic: bool = False,
    accept_gaps: bool = False,
) -> RunReport:
    """Land what is new, then bring profiles and index up to it.

    Args:
        context: the clients of the run.
        rebuild: compute all profiles again, into a new index that is then promoted.
        accept_new_topic: go on with a topic that is not the one that the lake was filled from.
        accept_gaps: close all gaps that nobody can or will fill.

    Returns:
        What was done. `index_error` says why the index could not be brought up to the lake.

    Raises:
        PipelineError: Kafka, MinIO or Spark does not answer, or a step fails. Everything that was
            done stays, and the next run goes on from there.
    """
    state = load_state(context, rebuild=rebuild)
    state = land_all(context, state, accept_new_topic=accept_new_topic, accept_gaps=accept_gaps)
    state = hold_back(context, state)
    state = update_profiles(context, state, rebuild=rebuild, stop_spark=True)
    report = publish_report(context, state)
    if state.changed:
        numbers = {
            "events": state.events_landed,
            "customers": state.profiles_updated,
            "misfits": state.invalid_messages,
            "seconds": report.seconds,
        }
        publish_run(context, state, "rebuild" if rebuild else "process", numbers)
    return report


def land_all(
    context: Context,
    state: RunState,
    *,
    stop: threading.Event | None = None,
    retry: Retry = try_once,
    accept_new_topic: bool = False,
    accept_gaps: bool = False,
) -> RunState:
    """Land everything that is in the topic now, in as few micro-batches as possible.

    What is produced meanwhile belongs to the next run. Otherwise a run would not end, nor come to
    its profiles, while events keep coming.

    Args:
        context: the clients of the run.
        state: what has landed before.
        stop: ends the landing after the current micro-batch.
        retry: calls each step, again if a server was away.
        accept_new_topic: as for `process`.
        accept_gaps: as for `process`.
    """
    horizon = retry(partial(look_at_topic, context, accept_new=accept_new_topic, with_sources=True))
    if horizon.is_new:
        # A batch of the old topic may be planned. What an earlier run wrote of it is kept.
        if context.batch_log.uncommitted() is not None:
            landed = land_next(context, state, horizon.topic)
            state = landed.state if landed else state
        plan_start(context, horizon.topic)
    is_complete = False
    while not (is_complete or (stop is not None and stop.is_set())):
        landed = retry(partial(land_next, context, state, horizon.topic))
        if landed is None:
            is_complete = True
            continue
        state = landed.state
        logger.info(
            "landed %s events in micro-batch %d",
            f"{landed.batch.events:,}",
            landed.number,
            extra={"event": "batch_landed", "batch": landed.number},
        )
    return settle_gaps(context, state, horizon, complete=is_complete, accept=accept_gaps)


@dataclass(frozen=True, slots=True)
class Landed:
    """A micro-batch that is in the lake."""

    state: RunState
    number: int
    batch: LandedBatch
    removed: Mapping[int, OffsetSpan] = field(default_factory=dict)
    """The offsets that were removed after the look at the topic, by partition."""


def land_next(context: Context, state: RunState, topic: TopicState) -> Landed | None:
    """Land one micro-batch; return None when the topic holds nothing new up to `topic`."""
    planned = plan_batch(context, topic)
    if planned is None:
        return None
    removed: Mapping[int, OffsetSpan] = {}
    try:
        state, landed = land_batch(context, state, planned)
    except OffsetOutOfRangeError:
        # Messages were removed after the look at the topic. The batch lands what is left of it.
        horizon = look_at_topic(context)
        removed = horizon.removed
        planned = plan_batch(context, horizon.topic)
        if planned is None:
            raise
        state, landed = land_batch(context, state, planned)
    return Landed(state, planned.batch.number, landed, removed)


def update_profiles(
    context: Context, state: RunState, *, rebuild: bool = False, stop_spark: bool = False
) -> RunState:
    """Build profiles, index them and count events, for every bucket that needs it.

    Args:
        context: the clients of the run.
        state: what has landed.
        rebuild: compute all profiles again.
        stop_spark: stop Spark after its last job, beside the steps that do not need it.
    """
    plan = plan_profiles(context, state, rebuild=rebuild)
    if plan is None:
        # A run that was killed after its profiles were written has not counted their events.
        return state if state.profiles.counted else count_events(context, state, changed=())
    state = build_profiles(context, state, plan)
    if stop_spark:
        context.spark.stop_in_background()
    state = publish_index(context, state, plan.task)
    state = count_events(context, state, plan.buckets)
    context.stopwatch.lap("count_events")
    return state
