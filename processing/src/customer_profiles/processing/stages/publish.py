"""The publish stage: what a run did, for people, programs and dashboards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from customer_profiles.processing.report import RunReport
from customer_profiles.processing.stages.quarantine import describe_waiting
from customer_profiles.processing.state import Context, RunState


def publish_report(context: Context, state: RunState) -> RunReport:
    """Return the report of a run, with what all profiles add up to."""
    report = RunReport(
        events_landed=state.events_landed,
        invalid_messages=state.invalid_messages,
        batches=state.batches,
        profiles_updated=state.profiles_updated,
        profiles_indexed=state.profiles_indexed,
        index_error=state.index_error,
        degraded=_degraded(state),
        failed_buckets=dict(state.profiles.failed),
        files_compacted=state.files_compacted,
        mended=list(state.mended),
        gaps=[gap.to_json() for gap in state.gaps],
        waiting=describe_waiting(context.batch_log, state.quarantine),
    )
    report.add_totals(state.profiles.totals.values(), context.segments.version)
    context.stopwatch.lap("publish")
    report.seconds = context.stopwatch.total()
    report.seconds_by_stage = dict(context.stopwatch.seconds)
    # Seconds are rounded, so a run that does nothing may take none.
    report.events_per_second = round(report.events_landed / max(report.seconds, 0.001), 1)
    return report


def _degraded(state: RunState) -> list[str]:
    """Return what is behind, in the words of the report."""
    behind = {
        "index_behind": state.index_error is not None,
        "dashboards_behind": state.live_index is not None and not state.profiles.counted,
        "rebuild_unfinished": state.rebuild_unfinished,
        "profiles_waiting": state.quarantine is not None and state.quarantine.held is not None,
    }
    return [name for name, is_behind in behind.items() if is_behind]


def publish_run(context: Context, state: RunState, kind: str, numbers: Mapping[str, Any]) -> None:
    """Leave one document about a run or a micro-batch for the dashboards."""
    if state.live_index is not None:
        context.metrics.record_run(kind, numbers)
