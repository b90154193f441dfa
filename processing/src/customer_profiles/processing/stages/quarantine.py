"""The decision before profiles are built: does a micro-batch wait for people?

Nothing here costs a run anything whose lake declares no check of severity `quarantine`.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial

from customer_profiles.common.errors import PipelineError
from customer_profiles.lake import quality
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.quarantine import (
    HeldBatch,
    Quarantine,
    change_quarantine,
    waiting_lines,
)
from customer_profiles.processing.state import Context, RunState

logger = logging.getLogger(__name__)

MAX_REASONS = 5
"""Findings of a batch that are kept, the most telling first."""


def hold_back(context: Context, state: RunState) -> RunState:
    """Judge the micro-batches that no profile includes yet, and hold the first back that fails.

    The decision is written before any profile is built, so a run that is killed changes nothing.

    Raises:
        DamagedObjectError: the lake's record of what waits was damaged in the meantime.
        PipelineError: the checks in it are those of another version.
    """
    quarantine = state.quarantine
    if quarantine is None:
        return state
    if quarantine.held is None and quarantine.checks:
        held = _first_failure(context, state.profiles.through_batch, quarantine)
        if held is not None:
            quarantine = change_quarantine(context.store, partial(Quarantine.with_held, held=held))
            context.stopwatch.lap("quarantine")
    if quarantine.held is not None:
        logger.warning(
            "micro-batch %d waits for a decision, and profiles end before it",
            quarantine.held.batch,
            extra={"event": "batch_held", "batch": quarantine.held.batch},
        )
    return replace(state, quarantine=quarantine)


def describe_waiting(log: BatchLog, quarantine: Quarantine | None) -> list[str]:
    """Say for people what waits, as the report has it; nothing gives no lines."""
    held = quarantine.held if quarantine else None
    if held is None:
        return []
    waiting = [number for number in log.committed if number >= held.batch]
    events = sum(log.commit_record(number).events for number in waiting)
    return waiting_lines(quarantine, log.last_committed, events)


def refuse_stream(quarantine: Quarantine | None) -> None:
    """See that a stream may start: it shows events within seconds, so nothing could wait.

    Raises:
        PipelineError: a batch waits, or checks are declared that may hold one back.
    """
    if quarantine is None or not (quarantine.held or quarantine.checks):
        return
    names = ", ".join(str(check["name"]) for check in quarantine.checks)
    problem = (
        f"Batch {quarantine.held.batch} waits for a decision"
        if quarantine.held
        else f"The contract has checks of severity quarantine ({names})"
    )
    raise PipelineError(
        f"{problem}, and a stream shows every event within seconds.\n"
        "Run `make process`, which says what waits. To stream, give these checks the severity "
        "fail, then run `make quality`."
    )


def _first_failure(context: Context, through: int, quarantine: Quarantine) -> HeldBatch | None:
    """Return the first batch after those in the profiles that fails; None if all pass."""
    log, store = context.batch_log, context.store
    waiting = [number for number in log.committed if number > through]
    if not set(waiting) - set(quarantine.accepted):
        return None
    # Only a lake that declares such checks needs what evaluates them.
    from customer_profiles.quality.quarantine import check_from_json, judge_batch  # noqa: PLC0415
    from customer_profiles.quality.statistics import add_up  # noqa: PLC0415

    try:
        checks = [check_from_json(check) for check in quarantine.checks]
        special_days = {date.fromisoformat(day) for day in quarantine.special_days}
    except (KeyError, TypeError, ValueError) as error:
        raise PipelineError(
            f"The checks of severity quarantine in the lake are of another version ({error}).\n"
            "Run `make quality`, which writes them again."
        ) from error
    done = [number for number in log.committed if number <= through]
    known = quality.read_statistics(store, log.checkpoint_record.through_batch, done)
    before = add_up(known.rows)
    for number in waiting:
        batch = quality.read_batch(store, number)
        if batch is None:
            # It was landed by a version that kept no statistics, or they were lost.
            continue
        if number not in quarantine.accepted:
            findings = judge_batch(before, batch, checks, special_days)
            if findings:
                reasons = tuple(finding.message for finding in findings[:MAX_REASONS])
                if len(findings) > MAX_REASONS:
                    reasons += (f"and {len(findings) - MAX_REASONS} more",)
                return HeldBatch(number, datetime.now(UTC).isoformat(timespec="seconds"), reasons)
        before = add_up([before, batch])
    return None
