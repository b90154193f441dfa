"""The index `alerts` from the notifier's state; it may be behind, and the next time makes up."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.monitoring.alerts.evaluate import Evaluation
from customer_profiles.monitoring.alerts.model import AlertState, NotifierState
from customer_profiles.monitoring.alerts.notifier import is_silenced
from customer_profiles.monitoring.health.model import Status
from customer_profiles.monitoring.health.survey import Survey
from customer_profiles.search.alert_index import MAPPING, AlertIndex
from customer_profiles.search.client import ElasticsearchConfig

logger = logging.getLogger(__name__)


def index_states(
    config: ElasticsearchConfig, evaluation: Evaluation, survey: Survey, now: datetime
) -> None:
    """Write what is firing, and what has just ended, if Elasticsearch answers."""
    component = survey.component("elasticsearch")
    if component is None or component.status is Status.DOWN:
        return
    try:
        index = AlertIndex(config)
        index.ensure()
        index.write(documents(evaluation, now))
    except PipelineError as error:
        logger.warning(
            "the index of alerts is behind: %s",
            first_line(error),
            extra={"event": "alert_index_behind"},
        )


def documents(evaluation: Evaluation, now: datetime) -> Iterator[dict[str, Any]]:
    """Yield a document for each alert that is known, and for each that has just ended."""
    state = evaluation.state
    known = {each.alert.fingerprint: each for each in (*evaluation.gone, *evaluation.message.over)}
    known |= {each.alert.fingerprint: each for each in state.alerts}
    for each in known.values():
        yield _document(each, state, now)


def _document(known: AlertState, state: NotifierState, now: datetime) -> dict[str, Any]:
    alert = known.alert
    fields = {name: value for name, value in alert.labels.items() if name in MAPPING}
    if known.over is not None:
        situation = "resolved"
    elif is_silenced(alert, state.silences, now):
        situation = "silenced"
    else:
        situation = "firing"
    return {
        **fields,
        **alert.details,
        "time": known.seen.isoformat(),
        "since": known.since.isoformat(),
        "until": known.over.isoformat() if known.over else None,
        "told": known.told.isoformat() if known.told else None,
        "state": situation,
        "fingerprint": alert.fingerprint,
        "name": alert.name,
        "severity": alert.severity.value,
        "summary": alert.summary,
        "command": alert.command,
    }
