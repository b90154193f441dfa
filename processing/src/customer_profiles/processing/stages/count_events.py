"""The stage that counts events: the dashboards' indices follow the lake."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from customer_profiles.processing.state import Context, RunState


def count_events(context: Context, state: RunState, changed: Iterable[int]) -> RunState:
    """Bring event counts and rejected rows up to date.

    A failure is logged, and the next run makes up for it.

    Args:
        context: the clients of the run.
        state: what the stages before have done.
        changed: the buckets whose events were counted again.
    """
    if state.live_index is None:
        return state
    if not context.metrics.update(range(context.settings.buckets), changed):
        return _with_damaged(context, state)
    profiles = replace(state.profiles, counted=True)
    profiles.save(context.store)
    return replace(state, profiles=profiles)


def _with_damaged(context: Context, state: RunState) -> RunState:
    """Let the next run compute buckets again whose event counts cannot be read."""
    if not context.metrics.damaged:
        return state
    failed = {f"{bucket:02d}": text for bucket, text in context.metrics.damaged.items()}
    profiles = replace(state.profiles, failed={**state.profiles.failed, **failed})
    profiles.save(context.store)
    return replace(state, profiles=profiles)
