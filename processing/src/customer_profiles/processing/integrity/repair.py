"""Rebuild what can be rebuilt: events from the topic, everything else from the events.

Every step may be repeated and leaves the lake such that the next check sees what is still to be
done. So a repair that was killed is run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import polars as pl

from customer_profiles.common.errors import PipelineError
from customer_profiles.lake.formats import FORMAT
from customer_profiles.lake.layout import (
    CHECKPOINT,
    INDEX_PROGRESS_PREFIX,
    REBUILDING,
    index_progress_name,
)
from customer_profiles.lake.profiles import read_profiles
from customer_profiles.processing.integrity.batches import new_log
from customer_profiles.processing.integrity.buckets import bucket_names
from customer_profiles.processing.integrity.charts import repair_charts
from customer_profiles.processing.integrity.deep import Contents
from customer_profiles.processing.integrity.diagnosis import Diagnosis, Progress, Servers
from customer_profiles.processing.integrity.events_repair import record_losses, rewrite_events
from customer_profiles.processing.integrity.quality import repair_statistics
from customer_profiles.processing.integrity.records import save_records
from customer_profiles.processing.integrity.steps import Loss
from customer_profiles.processing.state import ProfilesState
from customer_profiles.processing.tasks.index import read_event_days
from customer_profiles.processing.tasks.profile import BucketResult, ProfileTask, update_bucket
from customer_profiles.processing.tasks.variants import index_with_variants
from customer_profiles.search.errors import IndexRefusedError, IndexUnavailableError
from customer_profiles.search.profile_index import IndexRef


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair has done."""

    losses: tuple[Loss, ...] = ()
    index_error: str | None = None
    """Why the index could not be mended; the next `make process` does it."""
    counts: Mapping[int, int] = field(default_factory=dict)
    """The stored events of each bucket."""


def apply(
    servers: Servers, diagnosis: Diagnosis, contents: Contents, progress: Progress
) -> Repaired:
    """Mend everything that the check of contents has found.

    Raises:
        PipelineError: the lake does not answer, or another run has written in the meantime.
    """
    _refuse_if_waiting(diagnosis)
    counts = dict(contents.stored_events)
    losses: list[Loss] = []
    _delete_damaged(servers, diagnosis)
    for number, bucket in enumerate(sorted(diagnosis.events)):
        progress("events", number, len(diagnosis.events))
        loss, counts[bucket] = rewrite_events(servers, diagnosis, bucket, contents.topic)
        losses += [loss] if loss else []
    counts = {bucket: count for bucket, count in sorted(counts.items()) if count}
    if losses:
        record_losses(servers, diagnosis, losses)
    if diagnosis.log or diagnosis.events:
        _write_log(servers, diagnosis, counts)
    repair_statistics(servers, diagnosis)
    results, error = _rebuild_buckets(servers, diagnosis, counts, progress)
    state = _new_state(servers, diagnosis, results, error)
    index = diagnosis.live_index
    if error is None and diagnosis.new_index and index is not None:
        index = _fill_new_index(servers, diagnosis, counts)
        state = replace(state, index=index.key, behind=())
    save_records(servers, diagnosis, state, counts)
    repair_charts(servers, diagnosis, state)
    return Repaired(tuple(losses), error, counts)


def _refuse_if_waiting(diagnosis: Diagnosis) -> None:
    """See that no file is written that joins batches in profiles with batches that wait."""
    quarantine = diagnosis.survey.quarantine
    if quarantine and quarantine.held and (diagnosis.log or diagnosis.events):
        raise PipelineError(
            f"Batch {quarantine.held.batch} waits for a decision, and a repair of events or of the "
            "batch log would join it with the batches before.\n"
            f"Run `make quality ACCEPT={quarantine.held.batch}`, then `make repair APPLY=1`."
        )


def _write_log(servers: Servers, diagnosis: Diagnosis, counts: Mapping[int, int]) -> None:
    log = new_log(diagnosis.survey, diagnosis.reach, servers.buckets, counts)
    servers.store.put_json(CHECKPOINT, log.checkpoint.to_json())
    for name in log.obsolete:
        servers.store.delete(name)


def _delete_damaged(servers: Servers, diagnosis: Diagnosis) -> None:
    """Delete notes that the next run or the steps below write again."""
    for name in diagnosis.damaged_notes:
        servers.store.delete(name)
    if REBUILDING in diagnosis.survey.damaged:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        servers.store.put_json(REBUILDING, {"since": since})


def _rebuild_buckets(
    servers: Servers, diagnosis: Diagnosis, counts: Mapping[int, int], progress: Progress
) -> tuple[list[BucketResult], str | None]:
    """Compute profiles and counts again, and index them; return why indexing failed."""
    rebuild = diagnosis.tables | diagnosis.events
    buckets = rebuild | diagnosis.documents
    if diagnosis.state or diagnosis.survey.state is None:
        buckets |= set(range(servers.buckets))
    task = ProfileTask(
        diagnosis.last_profiled,
        servers.segments,
        datetime.now(UTC),
        index=None,
        restore=frozenset(rebuild & set(counts)),
    )
    results = []
    for number, bucket in enumerate(sorted(buckets)):
        progress("profiles", number, len(buckets))
        profiles, event_counts = bucket_names(bucket)
        if bucket in rebuild:
            # It may have customers who do not belong into it.
            servers.store.delete(profiles)
        if bucket not in counts:
            servers.store.delete(event_counts)
        results.append(update_bucket(servers.store, None, bucket, task))
    if diagnosis.new_index or not _is_current(diagnosis) or diagnosis.live_index is None:
        return results, None
    error = _index_buckets(
        servers, diagnosis.live_index, sorted(rebuild | diagnosis.documents), diagnosis
    )
    return results, error


def _index_buckets(
    servers: Servers, index: IndexRef, buckets: Iterable[int], diagnosis: Diagnosis
) -> str | None:
    """Send the profiles of some buckets to the live index; return why that failed."""
    try:
        for bucket in buckets:
            marker = index_progress_name(index.key, bucket)
            servers.store.delete(marker)
            stored = read_profiles(servers.store, bucket)
            profiles = read_event_days(servers.store, bucket, stored)
            # The version of the newest batch replaces every document that the index can have.
            _index_bucket(servers, index, bucket, profiles, diagnosis)
            servers.store.put_json(marker, {"through_batch": stored.through_batch})
        servers.index.refresh(index)
    except (IndexUnavailableError, IndexRefusedError) as error:
        return str(error)
    return None


def _index_bucket(
    servers: Servers, index: IndexRef, bucket: int, profiles: pl.DataFrame, diagnosis: Diagnosis
) -> None:
    version = diagnosis.last_profiled
    index_with_variants(servers.store, servers.index, index, profiles, version, [bucket])


def _is_current(diagnosis: Diagnosis) -> bool:
    """Tell whether the state holds for the live index. Otherwise the next run fills that anyway."""
    state, live = diagnosis.survey.state, diagnosis.live_index
    return live is not None and (state is None or state.index == live.key)


def _new_state(
    servers: Servers, diagnosis: Diagnosis, results: Iterable[BucketResult], error: str | None
) -> ProfilesState:
    """Return the state that follows from the buckets that were brought up to date."""
    results = list(results)
    before = diagnosis.survey.state
    is_whole = before is None or diagnosis.state
    state = ProfilesState() if before is None else before
    if is_whole:
        state = replace(state, totals={}, failed={})
    state = state.with_results(results)
    totals = {key: part for key, part in state.totals.items() if part.get("customers")}
    behind = set(state.behind)
    if error is not None:
        behind |= {result.bucket for result in results}
    through = diagnosis.last_profiled if is_whole or before is None else before.through_batch
    versions = {version for part in totals.values() for version in part["segments_versions"]}
    segments = state.segments
    if is_whole and versions <= {str(servers.segments.version)}:
        segments = servers.segments.as_json()
    live = diagnosis.live_index
    return replace(
        state,
        totals=totals,
        through_batch=min(through, diagnosis.last_profiled),
        behind=tuple(sorted(behind)),
        segments=segments,
        index=live.key if live and _is_current(diagnosis) else state.index,
        format=FORMAT,
        counted=state.counted and not results,
    )


def _fill_new_index(servers: Servers, diagnosis: Diagnosis, counts: Mapping[int, int]) -> IndexRef:
    """Fill another index from the lake's profiles, and let readers see it.

    Raises:
        PipelineError: the new index does not have all profiles. Readers still see the old one.
    """
    index = servers.index.create()
    customers = 0
    for bucket in counts:
        stored = read_profiles(servers.store, bucket)
        profiles = read_event_days(servers.store, bucket, stored)
        customers += profiles.height
        _index_bucket(servers, index, bucket, profiles, diagnosis)
        progress = index_progress_name(index.key, bucket)
        servers.store.put_json(progress, {"through_batch": stored.through_batch})
    servers.index.refresh(index)
    if (indexed := servers.index.count(index)) != customers:
        raise PipelineError(
            f"The new index has {indexed:,} profiles and the lake {customers:,}; readers still see "
            "the old one.\nDid another run write at the same time? Run `make repair` again."
        )
    for removed in servers.index.promote(index, diagnosis.last_profiled):
        for marker in servers.store.list_sizes(f"{INDEX_PROGRESS_PREFIX}{removed}."):
            servers.store.delete(marker)
    return index
