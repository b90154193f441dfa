"""The fast check: everything that can be seen without reading events and profiles."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.contracts import DEAD_LETTERS
from customer_profiles.kafka.admin import topic_state, watermarks
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.errors import DamagedObjectError, LakeUnavailableError
from customer_profiles.lake.findings import Finding, Kind, Remedy
from customer_profiles.lake.layout import (
    BATCHES_PREFIX,
    CHECKPOINT,
    EVENT_COUNTS_PREFIX,
    MANIFEST,
    PROFILES_PREFIX,
    REJECTED_ROWS,
    SENT_COUNTS,
    STATE,
    data_file_batches,
)
from customer_profiles.lake.quarantine import waiting_lines
from customer_profiles.processing.integrity.batches import check_batches, horizon
from customer_profiles.processing.integrity.diagnosis import Diagnosis, Servers, TopicView
from customer_profiles.processing.integrity.indices import (
    PROFILE_SUMS,
    check_count_sums,
    check_profile_sums,
    check_rejected_sums,
)
from customer_profiles.processing.integrity.quality import check_statistics
from customer_profiles.processing.integrity.survey import Survey, take_survey
from customer_profiles.processing.integrity.topic import check_dead_letters, check_topic
from customer_profiles.processing.stages.check import LakeView, check_index, compare_lake
from customer_profiles.search.errors import IndexUnavailableError
from customer_profiles.search.metrics_indices import EVENT_METRICS
from customer_profiles.search.metrics_indices import REJECTED_ROWS as REJECTED_INDEX


def check_metadata(servers: Servers) -> Diagnosis:
    """Check listings, records, counts and the topic's offsets.

    Raises:
        LakeUnavailableError: the lake does not answer.
        PipelineError: the settings do not fit the lake.
    """
    survey = take_survey(servers.store)
    _check_buckets(survey, servers.buckets)
    reach = horizon(survey, {})
    topic, topic_findings, topic_note = _look_at_topic(servers, survey, reach.next_offsets)
    diagnosis = Diagnosis(survey, reach, topic, live_index=None)
    log_findings = [*survey.findings, *check_batches(survey)]
    log = any(finding.object.startswith(BATCHES_PREFIX) for finding in log_findings)
    state_findings = _check_state(survey)
    state_damaged = bool(state_findings) or bool(survey.damaged & {STATE, MANIFEST})
    diagnosis = diagnosis.with_findings(
        [*log_findings, *topic_findings, *state_findings], log=log, state=state_damaged
    )
    if topic_note:
        diagnosis = diagnosis.with_note(topic_note)
    diagnosis = _check_listing(servers, diagnosis)
    diagnosis = check_statistics(servers, _check_indices(servers, diagnosis))
    for line in _waiting(survey):
        diagnosis = diagnosis.with_note(line)
    return replace(
        diagnosis, rejected_rows=diagnosis.rejected_rows or REJECTED_ROWS in survey.damaged
    )


def _check_buckets(survey: Survey, buckets: int) -> None:
    """Refuse settings that do not fit the lake, before every object would be a finding."""
    known = [plan.buckets for plan in survey.log.known_plans.values()]
    known += [survey.log.checkpoint.buckets, survey.manifest.buckets if survey.manifest else 0]
    others = {number for number in known if number}
    if others and buckets not in others:
        number = min(others)
        raise PipelineError(
            f"This lake is cut into {number} buckets and BUCKETS is {buckets}.\n"
            f"Set BUCKETS={number} in .env, then run the command again."
        )


def pending(diagnosis: Diagnosis) -> bool:
    """Tell whether profiles or index are still to be brought up to the newest batch."""
    state = diagnosis.survey.state
    if state is None:
        return True
    return bool(
        state.through_batch < diagnosis.last_profiled
        or state.behind
        or state.failed
        or diagnosis.live_index is None
        or state.index != diagnosis.live_index.key
    )


def _waiting(survey: Survey) -> list[str]:
    """Say which micro-batches wait for a decision."""
    quarantine, commits = survey.quarantine, survey.log.commits
    if quarantine is None or quarantine.held is None:
        return []
    first = quarantine.held.batch
    events = sum(sum(landed.values()) for number, landed in commits.items() if number >= first)
    return waiting_lines(quarantine, max(commits, default=first), events)


def _look_at_topic(
    servers: Servers, survey: Survey, next_offsets: Mapping[int, int]
) -> tuple[TopicView, list[Finding], str]:
    try:
        state = topic_state(servers.kafka)
    except PipelineError as error:
        return TopicView(), [], f"The topic was not compared: {first_line(error)}"
    findings = check_topic(state.topic_id, state.watermarks, survey.log, next_offsets)
    return TopicView(state.watermarks, state.topic_id, usable=not findings), findings, ""


def _check_state(survey: Survey) -> list[Finding]:
    """Compare the state with the batch log and the listing."""
    has_events = any(data_file_batches(name) for name in survey.objects)
    has_commits = bool(survey.log.commits) or survey.log.has_checkpoint
    has_profiles = any(name.startswith(PROFILES_PREFIX) for name in survey.objects)
    findings = []
    if STATE not in survey.objects and has_events and has_profiles:
        findings.append(Finding(Kind.MISSING, STATE, Remedy.REPAIR))
    if survey.state is not None and has_commits:
        newest = max([*survey.log.commits, survey.log.checkpoint.through_batch])
        through = survey.state.through_batch
        if through > newest and CHECKPOINT not in survey.damaged:
            detail = f"it names batch {through}, and the newest in the batch log is {newest}"
            findings.append(Finding(Kind.DAMAGED, STATE, Remedy.REPAIR, detail))
    manifest = survey.manifest
    if manifest and survey.state and manifest.through_batch < survey.state.through_batch:
        detail = (
            f"it ends at batch {manifest.through_batch}, and the state at "
            f"{survey.state.through_batch}"
        )
        findings.append(Finding(Kind.OLDER, MANIFEST, Remedy.PROCESS, detail))
    return findings


def _check_listing(servers: Servers, diagnosis: Diagnosis) -> Diagnosis:
    """Compare the listing of the lake with manifest, log and state, as every run does."""
    survey = diagnosis.survey
    if diagnosis.log or survey.state is None or MANIFEST in survey.damaged:
        return diagnosis.with_note(
            "Listings were not compared with records that are damaged; `DEEP=1` reads the contents."
        )
    view = LakeView(survey.manifest, None, survey.objects)
    try:
        log = BatchLog(servers.store)
        _, findings = compare_lake(servers.store, log, survey.state, view, None)
    except LakeUnavailableError:
        raise
    except DamagedObjectError as error:
        findings = [Finding.of_damage(error, Remedy.REPAIR)]
    is_log = any(finding.object.startswith(BATCHES_PREFIX) for finding in findings)
    is_state = any(finding.object in (STATE, MANIFEST) for finding in findings)
    return diagnosis.with_findings(
        findings, log=diagnosis.log or is_log, state=diagnosis.state or is_state
    )


def _check_indices(servers: Servers, diagnosis: Diagnosis) -> Diagnosis:
    survey = diagnosis.survey
    state = survey.state
    try:
        live, batch = servers.contents.live() or (None, None)
        diagnosis = replace(diagnosis, live_index=live)
        if state is None or not state.totals:
            return diagnosis
        if live is None:
            finding = Finding(Kind.MISSING, "index customer_profiles", Remedy.PROCESS)
            return diagnosis.with_findings([finding])
        if batch is not None and (ahead := check_index(live, batch, diagnosis.reach.last_batch)):
            named = [replace(finding, object=f"index {finding.object}") for finding in ahead]
            diagnosis = diagnosis.with_findings(named, new_index=True)
        if pending(diagnosis):
            return diagnosis.with_note(
                "`make process` has work to do; the index is compared after it."
            )
        sums = servers.contents.sums(live.name, list(PROFILE_SUMS))
        findings = check_profile_sums(f"index {live.name}", sums or {}, state.totals.values())
        diagnosis = diagnosis.with_findings(findings)
        return _check_chart_indices(servers, diagnosis)
    except IndexUnavailableError as error:
        return diagnosis.with_note(f"The index was not compared: {first_line(error)}")


def _check_chart_indices(servers: Servers, diagnosis: Diagnosis) -> Diagnosis:
    """Compare the sums of the dashboards' indices with what was sent to them."""
    survey = diagnosis.survey
    if survey.state is None or not survey.state.counted:
        return diagnosis
    sums = servers.contents.sums(EVENT_METRICS, ["events"])
    has_counts = any(name.startswith(EVENT_COUNTS_PREFIX) for name in survey.objects)
    if has_counts:
        if sums is None:
            found = [Finding(Kind.MISSING, f"index {EVENT_METRICS}", Remedy.REPAIR)]
        else:
            found = _check_sent_counts(servers, sums)
        diagnosis = diagnosis.with_findings(
            found, event_counts=diagnosis.event_counts or bool(found)
        )
    if survey.rejected is not None:
        diagnosis = _check_dead_letters(servers, diagnosis, survey.rejected.next_offsets)
        sums = servers.contents.sums(REJECTED_INDEX, ["rows"])
        name = f"index {REJECTED_INDEX}"
        found = (
            check_rejected_sums(name, sums, survey.rejected.counts)
            if sums is not None
            else [Finding(Kind.MISSING, name, Remedy.REPAIR)]
        )
        diagnosis = diagnosis.with_findings(
            found, rejected_rows=diagnosis.rejected_rows or bool(found)
        )
    return diagnosis


def _check_dead_letters(
    servers: Servers, diagnosis: Diagnosis, counted: Mapping[str, int]
) -> Diagnosis:
    try:
        offsets = watermarks(servers.kafka, DEAD_LETTERS)
    except PipelineError as error:
        return diagnosis.with_note(f"The dead letters were not compared: {first_line(error)}")
    found = check_dead_letters(offsets, counted)
    return diagnosis.with_findings(found, dead_letters=bool(found))


def _check_sent_counts(servers: Servers, sums: dict[str, int]) -> list[Finding]:
    try:
        stored = servers.store.get(SENT_COUNTS)
        if stored is None:
            return [Finding(Kind.MISSING, SENT_COUNTS, Remedy.REPAIR)]
        sent = pl.read_parquet(io.BytesIO(stored.data))
        return check_count_sums(f"index {EVENT_METRICS}", sums, sent)
    except DamagedObjectError as error:
        return [Finding.of_damage(error, Remedy.REPAIR)]
    except (OSError, ValueError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        detail = f"it cannot be read ({type(error).__name__})"
        return [Finding(Kind.DAMAGED, SENT_COUNTS, Remedy.REPAIR, detail)]
