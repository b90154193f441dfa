"""The index `alerts` from the notifier's state; it may be behind, and the next time makes up."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.monitoring.alerts.evaluate import Evaluation
from customer_profiles.monitoring.alerts.model import AlertState, NotifierState
from customer_profiles.monitoring.alerts.notifier import is_silenced
from customer_profiles.monitoring.alerts.store import NotifierStore
from customer_profiles.monitoring.health.model import Status
from customer_profiles.monitoring.health.survey import Survey
from customer_profiles.search.alert_index import MAPPING, AlertIndex
from customer_profiles.search.client import ElasticsearchConfig

logger = logging.getLogger(__name__)


class Index(Protocol):
    """The index `alerts`, as `search.alert_index.AlertIndex` writes it."""

    def ensure(self) -> None:
        """Create it if it is missing."""

    def write(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Write documents; older ones than those that are there change nothing."""

    def unresolved(self) -> list[dict[str, Any]]:
        """Return the documents whose state is not `resolved`."""


def index_states(
    config: ElasticsearchConfig,
    store: NotifierStore,
    evaluation: Evaluation,
    survey: Survey,
    now: datetime,
) -> None:
    """Write what is firing, and what has ended, if Elasticsearch answers."""
    component = survey.component("elasticsearch")
    if component is None or component.status is Status.DOWN:
        return
    try:
        write_states(AlertIndex(config), store, evaluation, now)
    except PipelineError as error:
        logger.warning(
            "the index of alerts is behind: %s",
            first_line(error),
            extra={"event": "alert_index_behind"},
        )


def write_states(index: Index, store: NotifierStore, evaluation: Evaluation, now: datetime) -> None:
    """Write what an evaluation found, then end the periods that the lake knows no more.

    The state in the lake decides, because several processes may evaluate, and one that is killed
    or comes late leaves a period that nobody else would end. A period is in the lake before it is
    in the index. So one that is in the index, and afterwards not in the lake, is over.
    """
    index.ensure()
    index.write(documents(evaluation, now))
    unresolved = index.unresolved()
    state = store.read_lake() if unresolved else None
    if state is not None:
        index.write(ended(unresolved, state, now))


def ended(
    unresolved: Iterable[Mapping[str, Any]], state: NotifierState, now: datetime
) -> Iterator[dict[str, Any]]:
    """Yield the documents of periods that the state does not have, as resolved ones."""
    known = {(each.alert.fingerprint, each.since.isoformat()) for each in state.alerts}
    for document in unresolved:
        if (document["fingerprint"], document["since"]) not in known:
            # Not before it was seen last, or the document that is there would win.
            until = max(now.isoformat(), document["time"])
            yield {**document, "state": "resolved", "until": until}


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
