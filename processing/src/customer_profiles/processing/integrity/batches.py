"""What the batch log should look like, and how it is written anew. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from customer_profiles.lake.batch_records import Batch, Checkpoint
from customer_profiles.lake.check_log import LogView, check_log
from customer_profiles.lake.findings import Finding, Kind, Remedy
from customer_profiles.lake.layout import data_file_batches, plan_name
from customer_profiles.processing.integrity.survey import LogSurvey, Survey


@dataclass(frozen=True, slots=True)
class Horizon:
    """Up to where the lake has the topic."""

    last_batch: int
    """The newest batch that has landed completely, or that has to be completed."""
    next_offsets: Mapping[int, int]
    """By partition, the first offset after that batch."""
    uncommitted: int | None = None
    """A batch that was planned and has not landed yet; the next run lands it."""


def horizon(survey: Survey, newest_offsets: Mapping[int, int]) -> Horizon:
    """Find out up to where the lake has the topic, from everything that says so.

    Args:
        survey: the lake.
        newest_offsets: by partition, the highest offset of the stored events; may be empty.
    """
    log = survey.log
    uncommitted = _uncommitted(log)
    landed = {number for number in file_batches(survey.objects) if number != uncommitted}
    through = survey.state.through_batch if survey.state else 0
    recorded = survey.manifest.through_batch if survey.manifest else 0
    last = max([log.checkpoint.through_batch, through, recorded, *log.commits, *landed])
    still_open = uncommitted if uncommitted and uncommitted > last else None
    witnesses = _witnesses(survey, last)
    if witnesses:
        # Most objects have a checksum. Of those that have none, the majority is right.
        ends = max(witnesses, key=witnesses.count)
        return Horizon(last, ends, still_open)
    # The newest plan is gone. What comes before it, and the events themselves, say how far it got.
    sources = [log.checkpoint.next_offsets, survey.manifest.next_offsets if survey.manifest else {}]
    sources += [_ends_of(plan) for number, plan in log.known_plans.items() if number <= last]
    if survey.one_topic:
        sources.append({partition: offset + 1 for partition, offset in newest_offsets.items()})
    latest: dict[int, int] = {}
    for source in sources:
        for partition, end in source.items():
            latest[partition] = max(end, latest.get(partition, 0))
    return Horizon(last, latest, still_open)


def _witnesses(survey: Survey, last: int) -> list[dict[int, int]]:
    """Return what all records say about the first offsets after a batch, the best first."""
    log, manifest = survey.log, survey.manifest
    found = []
    if manifest and manifest.through_batch == last:
        found.append(dict(manifest.next_offsets))
    plans = (log.planned_by_commits.get(last), log.plans.get(last))
    found += [_ends_of(plan) for plan in plans if plan is not None]
    if log.has_checkpoint and log.checkpoint.through_batch == last:
        found.append(dict(log.checkpoint.next_offsets))
    return found


def _ends_of(plan: Batch) -> dict[int, int]:
    return {partition: end for partition, (_, end) in plan.ranges.items()}


def _uncommitted(log: LogSurvey) -> int | None:
    """Return the newest planned batch, if it is the only one without a commit."""
    newest = max([*log.plans, *log.commits, log.checkpoint.through_batch])
    is_open = newest in log.plans and newest not in log.commits
    return newest if is_open and newest > log.checkpoint.through_batch else None


def file_batches(objects: Iterable[str]) -> set[int]:
    """Return the newest batch of each data file."""
    return {batches[1] for name in objects if (batches := data_file_batches(name))}


def check_batches(survey: Survey) -> list[Finding]:
    """Find what is missing in the batch log, or does not fit together."""
    log = survey.log
    view = LogView(log.checkpoint.through_batch, set(log.plans), set(log.commits))
    landed = file_batches(survey.objects) - {_uncommitted(log)}
    state = survey.state.through_batch if survey.state else 0
    manifest = survey.manifest.through_batch if survey.manifest else 0
    missing = [
        finding
        for finding in check_log(view, max([state, manifest, *landed]))
        # Objects that are there and cannot be read have a finding already.
        if finding.object not in log.damaged
    ]
    return [*missing, *_check_ranges(log, log.checkpoint.through_batch + 1)]


def _check_ranges(log: LogSurvey, first: int) -> list[Finding]:
    """Compare each plan with the one before it: batches are consecutive offsets."""
    findings = []
    for number, plan in sorted(log.plans.items()):
        if number < first:
            continue
        before = log.plans.get(number - 1)
        problem = _problem_of_plan(plan, log.planned_by_commits.get(number))
        if problem is None and before is not None and before.topic_id == plan.topic_id:
            problem = _overlap(plan, _ends_of(before))
        elif problem is None and number == first and log.checkpoint.topic_id == plan.topic_id:
            problem = _overlap(plan, log.checkpoint.next_offsets)
        if problem:
            name = plan_name(number)
            findings.append(
                Finding(Kind.DAMAGED, name, Remedy.REPAIR, problem, batches=(number, number))
            )
    return findings


def _problem_of_plan(plan: Batch, commit: Batch | None) -> str | None:
    if any(start > end for start, end in plan.ranges.values()):
        return "a range of offsets ends before it begins"
    if commit is not None and commit.ranges != plan.ranges:
        return "its commit names other offsets"
    return None


def _overlap(plan: Batch, before: Mapping[int, int]) -> str | None:
    """Return where a plan has offsets of the batch before it."""
    for partition, (start, _) in sorted(plan.ranges.items()):
        if start < before.get(partition, 0):
            return (
                f"partition {partition} begins at offset {start}, and the batch before ends at "
                f"{before[partition]}"
            )
    return None


@dataclass(frozen=True, slots=True)
class NewLog:
    """A batch log that is written anew: one checkpoint for everything that has landed."""

    checkpoint: Checkpoint
    obsolete: tuple[str, ...]
    """Objects to delete afterwards."""


def new_log(
    survey: Survey, reach: Horizon, buckets: int, events_by_bucket: Mapping[int, int]
) -> NewLog:
    """Return the log that replaces a damaged one.

    A plan that was not committed stays if it follows the last batch; otherwise the next run makes
    a new one.

    Args:
        survey: the lake.
        reach: up to where the lake has the topic.
        buckets: the number of buckets.
        events_by_bucket: the stored events of each bucket that has some.
    """
    log = survey.log
    names = set(log.names)
    following = reach.last_batch + 1
    plan = log.plans.get(following)
    if plan is not None and reach.uncommitted == following and plan.number == following:
        names.discard(plan_name(following))
    checkpoint = Checkpoint(
        reach.last_batch,
        buckets,
        dict(sorted(reach.next_offsets.items())),
        frozenset(events_by_bucket),
        dict(events_by_bucket),
        log.topic_id,
    )
    return NewLog(checkpoint, tuple(sorted(names)))
