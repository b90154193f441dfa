"""The check of contents: every object, every event against the topic, every document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.contracts import bucket_of
from customer_profiles.lake.findings import Finding, Kind, Remedy
from customer_profiles.lake.layout import STATE
from customer_profiles.processing.integrity.batches import horizon
from customer_profiles.processing.integrity.buckets import (
    TablesVerdict,
    bucket_names,
    check_tables,
    has_totals,
    read_events,
    read_table,
)
from customer_profiles.processing.integrity.chart_check import check_chart_contents
from customer_profiles.processing.integrity.diagnosis import Diagnosis, Progress, Servers
from customer_profiles.processing.integrity.events_check import (
    EventsVerdict,
    Known,
    StoredEvents,
    check_events,
)
from customer_profiles.processing.integrity.indices import (
    AllCounts,
    check_documents,
)
from customer_profiles.processing.integrity.spans import after
from customer_profiles.processing.integrity.spill import DocumentSpill
from customer_profiles.processing.integrity.topic import (
    TopicCopy,
    changed_topic,
    copy_topic,
    shared_spans,
)
from customer_profiles.processing.integrity.verify import pending
from customer_profiles.search.errors import IndexUnavailableError
from customer_profiles.search.mapping import EXPERIMENTS


@dataclass(frozen=True, slots=True)
class Contents:
    """What was read in one pass for all buckets."""

    topic: TopicCopy | None
    """None if the topic cannot be asked, or is not the one from which the lake was filled."""
    documents: DocumentSpill | None
    """None if the index cannot be asked, or is still to be brought up to the lake."""
    stored_events: Mapping[int, int] = field(default_factory=dict)
    """The events of each bucket, with those that the topic still has."""


def check_contents_of_lake(
    servers: Servers, diagnosis: Diagnosis, folder: Path, progress: Progress
) -> tuple[Diagnosis, Contents]:
    """Read everything and compare it.

    Args:
        servers: the clients.
        diagnosis: what the fast check has found.
        folder: an empty folder for what does not fit into memory.
        progress: is told how far the check is.

    Returns:
        The diagnosis with what else was found, and what `repair` needs of the topic.
    """
    survey = diagnosis.survey
    offsets = _newest_offsets(servers, diagnosis) if diagnosis.log else {}
    diagnosis = replace(diagnosis, reach=horizon(survey, offsets))
    diagnosis, topic = _read_topic(servers, diagnosis, folder, progress)
    diagnosis, documents = _read_index(servers, diagnosis, folder, progress)
    counts = AllCounts()
    numbers: dict[int, int] = {}
    for bucket in range(servers.buckets):
        progress("buckets", bucket, servers.buckets)
        stored, verdict = events_of(servers, diagnosis, bucket, topic)
        numbers[bucket] = verdict.whole.height + verdict.restorable.height
        diagnosis = _check_bucket(servers, diagnosis, stored, verdict, documents, counts)
        if verdict.topic_differs:
            view = replace(diagnosis.topic, usable=False)
            diagnosis = replace(diagnosis.with_findings([changed_topic()]), topic=view)
    diagnosis = _check_rules(servers, diagnosis)
    if not diagnosis.topic.usable:
        topic = None
    return check_chart_contents(servers, diagnosis, counts), Contents(topic, documents, numbers)


def _check_rules(servers: Servers, diagnosis: Diagnosis) -> Diagnosis:
    """Compare the rules in the state with the current ones, if both have the same version."""
    state = diagnosis.survey.state
    known, current = state.segments if state else None, servers.segments.as_json()
    if not known or known.get("version") != current["version"] or known == current:
        return diagnosis
    detail = f"its rules are not those of version {current['version']}"
    finding = Finding(Kind.DAMAGED, STATE, Remedy.REPAIR, detail)
    return diagnosis.with_findings([finding], state=True)


def events_of(
    servers: Servers, diagnosis: Diagnosis, bucket: int, topic: TopicCopy | None
) -> tuple[StoredEvents, EventsVerdict]:
    """Read the events of a bucket, and compare them with plans and topic."""
    reach = diagnosis.reach
    foreign = {finding.object for finding in diagnosis.findings if finding.kind is Kind.REPLACED}
    stored = read_events(servers.store, diagnosis.survey, bucket, reach.last_batch, foreign)
    known = Known(
        buckets=servers.buckets,
        next_offsets=reach.next_offsets,
        plans=diagnosis.survey.log.known_plans,
        spans=topic.spans if topic else {},
        one_topic=diagnosis.survey.one_topic,
    )
    verdict = check_events(stored, known, topic.events.read(bucket) if topic else None)
    return stored, verdict


def _check_bucket(
    servers: Servers,
    diagnosis: Diagnosis,
    stored: StoredEvents,
    verdict: EventsVerdict,
    documents: DocumentSpill | None,
    counts: AllCounts,
) -> Diagnosis:
    bucket = stored.bucket
    changed = bool(verdict.rewrite or verdict.restorable.height)
    events = diagnosis.events | ({bucket} if changed else set())
    diagnosis = diagnosis.with_findings(verdict.findings, events=events)
    tables = _check_tables(servers, diagnosis, stored, verdict, counts)
    if tables is None:
        return diagnosis
    stale = diagnosis.tables | ({bucket} if tables.stale or changed else set())
    diagnosis = diagnosis.with_findings(tables.findings, tables=stale)
    state = diagnosis.survey.state
    totals = state.totals.get(f"{bucket:02d}") if state else None
    profiles = tables.profiles
    counted = state is not None and profiles is not None and (totals or profiles.height)
    if counted and profiles is not None and not has_totals(profiles, totals):
        detail = f"it does not have the totals of bucket {bucket:02d}"
        finding = Finding(Kind.DAMAGED, STATE, Remedy.REPAIR, detail)
        diagnosis = diagnosis.with_findings([finding], state=True)
    if documents and diagnosis.live_index:
        found = check_documents(tables.expected, documents.read(bucket), diagnosis.reach.last_batch)
        if found.differs:
            diagnosis = diagnosis.with_findings(
                [found.finding(f"index {diagnosis.live_index.name}", bucket)],
                documents=diagnosis.documents | {bucket},
                new_index=diagnosis.new_index or found.needs_new_index,
            )
    return diagnosis


def _check_tables(
    servers: Servers,
    diagnosis: Diagnosis,
    stored: StoredEvents,
    verdict: EventsVerdict,
    counts: AllCounts,
) -> TablesVerdict | None:
    """Compare profiles and counts with the events; None if they are still to be made."""
    state = diagnosis.survey.state
    bucket = stored.bucket
    profiles, event_counts = (
        read_table(servers.store, diagnosis.survey, name) for name in bucket_names(bucket)
    )
    if event_counts.rows is not None:
        counts.add(event_counts.rows)
    last = diagnosis.last_profiled
    newest = max((file.last_batch for file in stored.files if file.last_batch <= last), default=0)
    through = state.through_batch if state else newest
    failed = f"{bucket:02d}" in (state.failed if state else {})
    if failed or (newest > through and profiles.through_batch < newest and not profiles.problem):
        # The next run builds them.
        return None
    events = pl.concat([verdict.whole, verdict.restorable])
    if (
        plan := diagnosis.survey.log.known_plans.get(last + 1)
    ) and last < diagnosis.reach.last_batch:
        # What comes later waits for a decision, and is in no profile.
        events = events.filter(~after(events, plan.ranges))
    return check_tables(bucket, events, newest, profiles, event_counts, servers.segments)


def _newest_offsets(servers: Servers, diagnosis: Diagnosis) -> dict[int, int]:
    """Return the highest stored offset of each partition."""
    newest: dict[int, int] = {}
    for bucket in range(servers.buckets):
        stored = read_events(servers.store, diagnosis.survey, bucket, diagnosis.reach.last_batch)
        for frame in stored.frames.values():
            offsets = frame.group_by("kafka_partition").agg(pl.col("kafka_offset").max())
            for partition, offset in offsets.iter_rows():
                newest[partition] = max(offset, newest.get(partition, 0))
    return newest


def _read_topic(
    servers: Servers, diagnosis: Diagnosis, folder: Path, progress: Progress
) -> tuple[Diagnosis, TopicCopy | None]:
    if not diagnosis.topic.usable:
        return diagnosis, None
    spans = shared_spans(diagnosis.topic.offsets, diagnosis.reach.next_offsets)
    try:
        return diagnosis, copy_topic(servers.kafka, spans, servers.buckets, folder, progress)
    except PipelineError as error:
        view = replace(diagnosis.topic, usable=False)
        note = f"The topic was not compared: {first_line(error)}"
        return replace(diagnosis.with_note(note), topic=view), None


def _read_index(
    servers: Servers, diagnosis: Diagnosis, folder: Path, progress: Progress
) -> tuple[Diagnosis, DocumentSpill | None]:
    """Keep the documents of the live index by bucket."""
    live = diagnosis.live_index
    if live is None or pending(diagnosis):
        return diagnosis, None
    spill = DocumentSpill(folder)
    total = 0
    if diagnosis.survey.state:
        total = sum(part["customers"] for part in diagnosis.survey.state.totals.values())
    try:
        for number, (user_id, version, content) in enumerate(servers.contents.scan(live.name)):
            # Published variants follow from experiments, not from events.
            profile = {name: value for name, value in content.items() if name != EXPERIMENTS}
            spill.add(bucket_of(user_id, servers.buckets), user_id, version, profile)
            if number % 1_000 == 0:
                progress("index", number, max(total, number))
    except IndexUnavailableError as error:
        return diagnosis.with_note(f"The index was not compared: {first_line(error)}"), None
    return diagnosis, spill
