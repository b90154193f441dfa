"""The notifier's state: in the lake, where several processes may change it, with a copy outside.

The copy, `alerts.json` beside the reports, takes over while the lake does not answer, so people are
also told that the lake is away. When the lake is back, it takes over what was told meanwhile.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.common.reports import write_json
from customer_profiles.lake.errors import (
    DamagedObjectError,
    LakeUnavailableError,
    WriteConflictError,
)
from customer_profiles.lake.object_store import ObjectStore, parse_record
from customer_profiles.monitoring.alerts.model import NotifierState

ALERTS = "_state/alerts.json"
"""Alerts that are firing, silences, and what people were told."""
COPY = "alerts.json"
"""The copy beside the reports. `lake_away` in it tells that it is newer than the lake's."""
ATTEMPTS = 20
"""Of a change, while other processes change the state, too."""

logger = logging.getLogger(__name__)


class NotifierStore:
    """Reads and changes the state.

    Args:
        store: the lake.
        reports: the folder of the copy.
    """

    def __init__(self, store: ObjectStore, reports: Path) -> None:
        self._store = store
        self._copy = reports / COPY

    def read(self) -> NotifierState:
        """Return the state; an empty one before the first, or for one that is damaged."""
        try:
            state, _ = self._read()
        except LakeUnavailableError:
            return self._read_copy()[0]
        return self._with_copy(state)

    def read_lake(self) -> NotifierState | None:
        """Return what the lake has; None while it does not answer, or if it has nothing whole."""
        try:
            return self._store.get_record(ALERTS, NotifierState.from_json)
        except (LakeUnavailableError, DamagedObjectError):
            return None

    def change(self, change: Callable[[NotifierState], NotifierState]) -> NotifierState:
        """Replace the state by a changed one, computed again if another process was faster.

        Returns:
            The state that was written.

        Raises:
            WriteConflictError: other processes were faster all the time.
        """
        try:
            changed = self._change(change)
        except LakeUnavailableError:
            changed = change(self._read_copy()[0])
            self._write_copy(changed, lake_away=True)
        else:
            self._write_copy(changed, lake_away=False)
        return changed

    def _change(self, change: Callable[[NotifierState], NotifierState]) -> NotifierState:
        for attempt in range(ATTEMPTS):
            stored, etag = self._read()
            changed = change(self._with_copy(stored))
            if changed == stored and etag is not None:
                return stored
            try:
                self._store.put_json(
                    ALERTS, changed.to_json(), if_match=etag, if_absent=etag is None
                )
            except WriteConflictError:
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                return changed
        raise AssertionError("unreachable")

    def _read(self) -> tuple[NotifierState, str | None]:
        try:
            stored = self._store.get(ALERTS)
            if stored is None:
                return NotifierState(), None
            return parse_record(ALERTS, stored, NotifierState.from_json), stored.etag
        except DamagedObjectError as error:
            logger.warning(
                "%s It is made anew: open alerts are told again, and silences are lost",
                first_line(error),
                extra={"event": "alert_state_damaged"},
            )
            return NotifierState(), error.etag or None

    def _with_copy(self, stored: NotifierState) -> NotifierState:
        """Take over what happened while the lake was away."""
        copy, lake_away = self._read_copy()
        if not lake_away:
            return stored
        newer = {known.alert.fingerprint: known for known in copy.alerts}
        alerts = {known.alert.fingerprint: known for known in stored.alerts} | newer
        silences = {silence.pattern: silence for silence in (*stored.silences, *copy.silences)}
        return replace(
            stored,
            alerts=tuple(alerts.values()),
            silences=tuple(silences.values()),
            sent=max(filter(None, (stored.sent, copy.sent)), default=None),
        )

    def _read_copy(self) -> tuple[NotifierState, bool]:
        try:
            content: dict[str, Any] = json.loads(self._copy.read_text())
            return NotifierState.from_json(content), bool(content["lake_away"])
        except (OSError, ValueError, TypeError, KeyError):
            return NotifierState(), False

    def _write_copy(self, state: NotifierState, *, lake_away: bool) -> None:
        firing = sum(known.over is None for known in state.alerts)
        try:
            write_json(self._copy, {"open": firing, "lake_away": lake_away, **state.to_json()})
        except PipelineError as error:
            logger.debug("no copy of the alerts: %s", first_line(error))
