"""Evaluations that nobody asks for: after a run, and by the monitoring service."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.quarantine import Quarantine, change_quarantine
from customer_profiles.monitoring.quality.evaluation import (
    Evaluation,
    evaluate_lake,
    index,
    keep,
    read_open,
)
from customer_profiles.monitoring.settings import Settings
from customer_profiles.quality.calendar import read_calendar
from customer_profiles.quality.checks import Check
from customer_profiles.quality.contract import read_contract
from customer_profiles.quality.news import is_due
from customer_profiles.quality.quarantine import check_to_json, holding_checks
from customer_profiles.search.client import ElasticsearchConfig

PATIENCE = timedelta(minutes=15)
"""Between two evaluations by the monitoring service while new rows come all the time."""

logger = logging.getLogger(__name__)


def evaluate_if_due(
    settings: Settings, store: ObjectStore, now: datetime, patience: timedelta = PATIENCE
) -> Evaluation | None:
    """Evaluate the checks if there are new rows or another day has closed.

    Args:
        settings: the contract and the calendar, and where Elasticsearch is.
        store: the lake.
        now: the current time, UTC.
        patience: as for `quality.news.is_due`.

    Returns:
        None if the last evaluation still holds.

    Raises:
        PipelineError: the lake does not answer, or the contract is wrong.
    """
    if not is_due(read_open(store), BatchLog(store).last_committed, now, patience):
        return None
    checks = read_contract(settings.quality_contract)
    special_days = read_calendar(settings.quality_calendar)
    declare_holding(store, checks, special_days)
    evaluation = evaluate_lake(store, checks, special_days, now)
    keep(store, evaluation)
    try:
        index(ElasticsearchConfig.from_settings(settings), evaluation, checks)
    except PipelineError as error:
        logger.warning(
            "the index of data quality is behind: %s",
            first_line(error),
            extra={"event": "quality_index_behind"},
        )
    return evaluation


def declare_holding(
    store: ObjectStore, checks: Sequence[Check], special_days: Collection[date]
) -> Quarantine:
    """Let runs know the checks that hold a batch back. Nothing is written if nothing changes.

    Args:
        store: the lake.
        checks: all checks of the contract that is in force.
        special_days: the days of the calendar.
    """
    entries = tuple(map(check_to_json, holding_checks(checks)))
    days = tuple(sorted(day.isoformat() for day in special_days)) if entries else ()
    return change_quarantine(store, lambda known: replace(known, checks=entries, special_days=days))
