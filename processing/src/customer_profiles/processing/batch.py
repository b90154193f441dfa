"""The schedule of one run: everything new in the topic becomes profiles, then the run ends."""

from __future__ import annotations

import logging

from customer_profiles.processing.report import RunReport
from customer_profiles.processing.stages.build_profiles import build_profiles
from customer_profiles.processing.stages.count_events import count_events
from customer_profiles.processing.stages.index import publish_index
from customer_profiles.processing.stages.land import land_batch
from customer_profiles.processing.stages.plan import load_state, plan_batch, plan_profiles
from customer_profiles.processing.stages.publish import publish_report, publish_run
from customer_profiles.processing.state import Context, RunState

logger = logging.getLogger(__name__)


def process(context: Context, *, rebuild: bool = False) -> RunReport:
    """Land what is new, then bring profiles and index up to it.

    Args:
        context: the clients of the run.
        rebuild: compute all profiles again, into a new index that is then promoted.

    Returns:
        What was done. `index_error` says why the index could not be brought up to the lake.

    Raises:
        PipelineError: Kafka, MinIO or Spark does not answer, or a step fails. Everything that was
            done stays, and the next run goes on from there.
    """
    state = load_state(context, rebuild=rebuild)
    state = land_all(context, state)
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


def land_all(context: Context, state: RunState) -> RunState:
    """Land micro-batches until the topic holds nothing new."""
    while (planned := plan_batch(context)) is not None:
        state, landed = land_batch(context, state, planned)
        logger.info(
            "landed %s events in micro-batch %d",
            f"{landed.events:,}",
            planned.batch.number,
            extra={"event": "batch_landed", "batch": planned.batch.number},
        )
    return state


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
