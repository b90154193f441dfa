"""Read the lake's statistics, evaluate the checks and keep what they found."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from customer_profiles.lake import quality
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.layout import (
    QUALITY_FINDINGS_PREFIX,
    QUALITY_OPEN,
    REJECTED_ROWS,
    STATE,
)
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.quality import customers, statistics
from customer_profiles.quality.checks import Check, by_name
from customer_profiles.quality.evaluate import evaluate, findings_of
from customer_profiles.quality.findings import Finding, OpenFindings
from customer_profiles.quality.history import History, Observation, Series, build_history
from customer_profiles.quality.news import GRACE, open_findings
from customer_profiles.quality.watch import Verdict
from customer_profiles.search.client import ElasticsearchConfig
from customer_profiles.search.metrics_indices import MetricsIndices
from customer_profiles.search.quality_indices import (
    QUALITY_FINDINGS,
    QUALITY_METRICS,
    index_quality,
)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the checks say of the lake as it is."""

    verdicts: Sequence[Verdict]
    findings: Sequence[Finding]
    """Of all closed days."""
    newest: date | None
    """The newest closed day."""
    missing: Sequence[int]
    """Micro-batches without statistics."""
    open: OpenFindings
    """What people should know: findings of the newest closed day, and news about older ones."""


def evaluate_lake(
    store: ObjectStore, checks: Sequence[Check], special_days: Collection[date], now: datetime
) -> Evaluation:
    """Evaluate all closed days.

    Args:
        store: the lake.
        checks: the checks of the contract.
        special_days: the days of the calendar.
        now: the current time, UTC.
    """
    log = BatchLog(store)
    read = quality.read_statistics(store, log.checkpoint_record.through_batch, log.committed)
    rows = statistics.add_up(read.rows)
    people = customers.add_up(quality.read_days(store, log.buckets() or 0))
    history = build_history(rows, people, _rejected(store))
    closed = _closed_days(rows, now)
    newest = max(closed, default=None)
    observed = _only(history, closed)
    if newest is not None:
        observed = _with_sums(observed, newest, rows, people, store, now)
    verdicts = evaluate(observed, checks, special_days)
    findings = findings_of(verdicts, checks)
    opened = open_findings(findings, newest, read_open(store), log.last_committed, now)
    return Evaluation(verdicts, findings, newest, read.missing, opened)


def read_open(store: ObjectStore) -> OpenFindings | None:
    """Return what the last evaluation left; None before the first, or if it is damaged."""
    with suppress(DamagedObjectError):
        return store.get_record(QUALITY_OPEN, OpenFindings.from_json)
    return None


def _closed_days(rows: pl.DataFrame, now: datetime) -> set[date]:
    """Return the event days that are over: all but the newest, and that one if the clock says so.

    Days that are ahead of the clock are no days of anybody.
    """
    days = rows.filter(pl.col("metric") == statistics.ROWS)["day"].unique().to_list()
    past = sorted(day for day in days if day <= now.date())
    if past and datetime.combine(past[-1], datetime.min.time(), UTC) + timedelta(1) + GRACE > now:
        past.pop()
    return set(past)


def _only(history: History, days: Collection[date]) -> History:
    series = {
        name: {day: value for day, value in observed.items() if day in days}
        for name, observed in history.series.items()
    }
    half_hours = {day: bins for day, bins in history.half_hours.items() if day in days}
    return History(series, half_hours)


def _with_sums(
    history: History,
    newest: date,
    rows: pl.DataFrame,
    people: pl.DataFrame,
    store: ObjectStore,
    now: datetime,
) -> History:
    """Add what is known of the lake as a whole, on its newest closed day."""
    events = int(people.filter(pl.col("metric") == customers.EVENTS)["value"].sum())
    state = store.get_json(STATE) or {}
    profiled = sum(int(part.get("total_events", 0)) for part in state.get("buckets", {}).values())
    added = {Series("profile_sums"): {newest: Observation(profiled - events, max(events, 1))}}
    arrived = rows.filter(pl.col("metric") == statistics.ARRIVED)["day"].max()
    if isinstance(arrived, date):
        end = datetime.combine(arrived, datetime.min.time(), UTC) + timedelta(1)
        hours = max(0.0, (now - end).total_seconds() / 3600)
        added[Series("freshness")] = {newest: Observation(round(hours, 1), 1)}
    return replace(history, series={**history.series, **added})


def _rejected(store: ObjectStore) -> Mapping[tuple[date, str], int]:
    """Return the rejected rows by day and reason, which a run counts from the dead letters."""
    counts: Counter[tuple[date, str]] = Counter()
    try:
        content = store.get_json(REJECTED_ROWS) or {"counts": []}
        for day, _, reason, rows in content["counts"]:
            counts[date.fromisoformat(day), reason] += int(rows)
    except (DamagedObjectError, KeyError, TypeError, ValueError):
        # The next run counts them again.
        return {}
    return counts


def keep(store: ObjectStore, evaluation: Evaluation) -> None:
    """Write the findings to the lake: those of each day, and those that are open."""
    by_day: dict[date, list[Finding]] = defaultdict(list)
    for finding in evaluation.findings:
        by_day[finding.day].append(finding)
    names = {f"{QUALITY_FINDINGS_PREFIX}{day.isoformat()}.json": day for day in by_day}
    for name, day in names.items():
        content = {"findings": [finding.to_json() for finding in by_day[day]]}
        store.put_json(name, content)
    for name in store.list_objects(QUALITY_FINDINGS_PREFIX):
        if name not in names:
            store.delete(name)
    store.put_json(QUALITY_OPEN, evaluation.open.to_json())


def index(search: ElasticsearchConfig, evaluation: Evaluation, checks: Iterable[Check]) -> None:
    """Send values and findings to the indices of data quality.

    Raises:
        IndexUnavailableError: Elasticsearch does not answer.
        IndexRefusedError: it refuses.
    """
    indices, known = MetricsIndices(search), by_name(checks)
    documents = [_document(verdict, known) for verdict in evaluation.verdicts]
    index_quality(indices, QUALITY_METRICS, documents)
    findings = []
    for finding in evaluation.findings:
        content = finding.to_json()
        content["time"] = content.pop("day")
        content["source"] = content.pop("labels").get("source")
        findings.append((finding.document_id, content))
    index_quality(indices, QUALITY_FINDINGS, findings)


def _document(verdict: Verdict, checks: Mapping[str, Check]) -> tuple[str, dict[str, Any]]:
    series = verdict.series
    key = "|".join([*series, verdict.day.isoformat()])
    return key, {
        "time": verdict.day.isoformat(),
        "check": series.check,
        "dataset": checks[series.check].measure.dataset,
        "field": series.field or None,
        "source": series.source or None,
        "value": verdict.observed.value,
        "expected": verdict.expected,
        "expected_low": verdict.low,
        "expected_high": verdict.high,
        "state": verdict.state.value,
    }
