"""Which servers are away, and since when: for people in the log, for programs in `outages.json`.

The file lies beside the reports and not in the lake, because the lake may be what is away.

    {"outages": [{"server": "MinIO", "command": "stream", "pid": 4711,
                  "since": "2026-01-01T10:00:00+00:00", "problem": "MinIO does not answer on …",
                  "alert_after_s": 60, "alerted_at": null, "until": null, "seconds": null}]}

An outage is going on while `until` is null. Whoever raises alerts reads `alerted_at`: it is set
once the outage has lasted `alert_after_s`, and stays when the outage is over.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from customer_profiles.common.clock import now_utc
from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.common.reports import write_json

logger = logging.getLogger(__name__)

FILE = "outages.json"
ALERT_AFTER_S = 60.0
"""How long a server is away before that is an alert."""
KEPT = 50
"""Outages in the file; the oldest ones are dropped."""


@dataclass(slots=True)
class OutageRecord:
    """An entry of the file."""

    server: str
    command: str
    pid: int
    since: str
    """ISO 8601, UTC."""
    problem: str
    alert_after_s: float
    alerted_at: str | None = None
    """When it became an alert; ISO 8601, UTC. None if it was shorter."""
    until: str | None = None
    """When it was over; ISO 8601, UTC. None while it lasts."""
    seconds: float | None = None


class Outages:
    """Logs when a server goes away, when it stays away, and when it is back: each once.

    Args:
        folder: the folder of the reports.
        command: the command that notices, such as `stream`.
        consequence: what the command does meanwhile; the end of the first message.
        alert_after_s: how long a server is away before that is an alert.
        clock: returns the current time.
    """

    def __init__(
        self,
        folder: Path,
        command: str,
        consequence: str = "",
        *,
        alert_after_s: float = ALERT_AFTER_S,
        clock: Callable[[], datetime] = now_utc,
    ) -> None:
        self._path = folder / FILE
        self._command = command
        self._consequence = consequence
        self._alert_after_s = alert_after_s
        self._clock = clock
        # A timer raises the alert, because a single attempt may take long.
        self._lock = threading.RLock()
        self._open: dict[str, tuple[OutageRecord, float, threading.Timer]] = {}
        self._records = _left_over(self._path, self._now())

    def fails(self, server: str, problem: str, consequence: str | None = None) -> None:
        """Note that a server did not answer.

        Args:
            server: its name for people.
            problem: what was noticed, in one line.
            consequence: what the command does meanwhile, if not what it always does.
        """
        with self._lock:
            if server in self._open:
                logger.debug("%s is still away: %s", server, problem)
                return
            record = OutageRecord(
                server, self._command, os.getpid(), self._now(), problem, self._alert_after_s
            )
            timer = threading.Timer(self._alert_after_s, self._alert, (server,))
            timer.daemon = True
            self._open[server] = record, time.monotonic(), timer
            self._records = [*self._records[-KEPT + 1 :], record]
            timer.start()
            problem = problem if problem.endswith(".") else f"{problem}."
            logger.warning(
                "%s %s",
                problem,
                self._consequence if consequence is None else consequence,
                extra={"event": "server_away", "server": server},
            )
            self._save()

    def works(self, server: str, consequence: str) -> None:
        """Note that a server answers; say so if it was away.

        Args:
            server: its name for people.
            consequence: what the command does now.
        """
        with self._lock:
            if server not in self._open:
                return
            record, began, timer = self._open.pop(server)
            timer.cancel()
            record.until = self._now()
            record.seconds = round(time.monotonic() - began, 1)
            logger.info(
                "%s is back after %.0f s; %s",
                server,
                record.seconds,
                consequence,
                extra={"event": "server_back", "server": server},
            )
            self._save()

    def close(self) -> None:
        """Raise no more alerts. What is still away stays open in the file."""
        with self._lock:
            for _, _, timer in self._open.values():
                timer.cancel()

    def _alert(self, server: str) -> None:
        with self._lock:
            if server not in self._open:
                return
            record, began, _ = self._open[server]
            record.alerted_at = self._now()
            logger.error(
                "%s has been away for %.0f s, and the %s still runs; see `make status`",
                server,
                time.monotonic() - began,
                self._command,
                extra={"event": "outage_alert", "server": server},
            )
            self._save()

    def _now(self) -> str:
        return self._clock().isoformat(timespec="seconds")

    def _save(self) -> None:
        try:
            write_json(self._path, {"outages": [asdict(record) for record in self._records]})
        except PipelineError as error:
            # An outage is no reason to end what waits for its end.
            logger.debug("outages are not recorded: %s", first_line(error))


def read_outages(folder: Path) -> list[OutageRecord]:
    """Return the outages that were recorded beside the reports, the oldest first.

    A file that is missing or no record of outages gives none.
    """
    with suppress(OSError, ValueError, TypeError, KeyError):
        entries: list[dict[str, Any]] = json.loads((folder / FILE).read_text())["outages"]
        return [OutageRecord(**entry) for entry in entries]
    return []


def _left_over(path: Path, now: str) -> list[OutageRecord]:
    """Return what earlier commands recorded. What they left open ended with them."""
    records = read_outages(path.parent)
    for record in records:
        record.until = record.until or now
    return records[-KEPT:]
