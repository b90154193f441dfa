"""Write the events of a bucket again, and say what is lost."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import polars as pl

from customer_profiles.lake.compaction import live_files
from customer_profiles.lake.events import EventPartition
from customer_profiles.lake.gaps import Gap, with_found, write_gaps
from customer_profiles.processing.integrity.deep import events_of
from customer_profiles.processing.integrity.diagnosis import Diagnosis, Servers
from customer_profiles.processing.integrity.events_check import (
    IDENTITY,
    EventsVerdict,
    StoredEvents,
)
from customer_profiles.processing.integrity.spans import lost_spans
from customer_profiles.processing.integrity.steps import Loss
from customer_profiles.processing.integrity.topic import TopicCopy


def rewrite_events(
    servers: Servers, diagnosis: Diagnosis, bucket: int, topic: TopicCopy | None
) -> tuple[Loss | None, int]:
    """Replace the damaged files of a bucket; return what is lost, and the events that it has."""
    stored, verdict = events_of(servers, diagnosis, bucket, topic)
    total = verdict.whole.height + verdict.restorable.height
    if not verdict.rewrite and stored.files:
        return None, total
    kept = [stored.frames[file.name] for file in stored.files if file.name not in verdict.rewrite]
    rows = pl.concat([verdict.whole, verdict.restorable])
    if kept:
        rows = rows.join(pl.concat(kept), on=IDENTITY, how="anti")
    files = [file for file in stored.files if file.name in verdict.rewrite]
    first = min((file.first_batch for file in files), default=1)
    last = max((file.last_batch for file in files), default=diagnosis.reach.last_batch)
    if not kept:
        last = diagnosis.reach.last_batch
    name = ""
    if rows.height:
        name = EventPartition(servers.store, bucket).write_span(first, last, rows).name
    for file in files:
        if file.name != name:
            servers.store.delete(file.name)
    return _loss(diagnosis, stored, verdict, rows, topic), total


def _loss(
    diagnosis: Diagnosis,
    stored: StoredEvents,
    verdict: EventsVerdict,
    rows: pl.DataFrame,
    topic: TopicCopy | None,
) -> Loss | None:
    """Say what the replaced files had and their successor has not."""
    files = [file for file in stored.files if file.name in verdict.rewrite]
    if not files:
        return None
    # A file that should be there may cover others that are.
    expected = [stored.expected.get(file.name) for file in live_files(files)]
    known = [number for number in expected if number is not None]
    lost = sum(known) - rows.height if len(known) == len(expected) else None
    plans = diagnosis.survey.log.known_plans
    first, last = min(file.first_batch for file in files), max(file.last_batch for file in files)
    spans = [plan.ranges for number, plan in plans.items() if first <= number <= last]
    if first not in plans:
        # The checkpoint has replaced the older plans.
        spans.append({p: (0, end) for p, end in diagnosis.reach.next_offsets.items()})
    offsets = lost_spans(spans, diagnosis.topic.offsets if topic else {})
    if (lost is not None and lost <= 0) or (lost is None and topic and not offsets):
        return None
    sources = verdict.whole["source"].drop_nulls().unique().sort().to_list()
    return Loss(stored.bucket, (first, last), lost, offsets, tuple(sources))


def record_losses(servers: Servers, diagnosis: Diagnosis, losses: Iterable[Loss]) -> None:
    """Record lost offsets as gaps: the next run names their sources, and closes what is filled."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    topic_id = diagnosis.survey.log.topic_id
    spans = {(p, *span) for loss in losses for p, span in loss.offsets.items()}
    found = [Gap(p, start, end - 1, topic_id, now) for p, start, end in sorted(spans)]
    write_gaps(servers.store, with_found(diagnosis.survey.gaps, found))
