"""The report of a run in any case: what it did, or why it failed, and the history of reports.

`NAME-latest.json` has the newest run that has ended, whatever its end was. `history/` has the last
`KEPT_RUNS` runs of each command, one file per run. A run is there as `running` from its beginning,
so one that was killed does not go unnoticed: the next run of the command marks it as `killed`.

Every report has these fields beside its own:

    command, run_id, status, exit_code, error, started_at, finished_at, host, pid
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from customer_profiles.common.clock import now_utc
from customer_profiles.common.errors import PipelineError
from customer_profiles.common.reports import write_json

HISTORY = "history"
KEPT_RUNS = 100
"""Reports of each command that are kept."""
INTERRUPTED = 130
"""The exit code after Ctrl-C."""


class Status(StrEnum):
    """How a run ended."""

    RUNNING = "running"
    OK = "ok"
    DEGRADED = "degraded"
    """The work is done, and something that follows from it is behind."""
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """By Ctrl-C."""
    KILLED = "killed"
    """It ended without a word."""


@dataclass(slots=True)
class RunRecord:
    """One run of a command."""

    folder: Path
    name: str
    """The beginning of the report's file name, such as `process`."""
    command: str
    run_id: str
    started_at: str
    """ISO 8601, UTC."""
    content: Callable[[], Mapping[str, Any]] = field(default=dict)
    """What the run has done so far: a failed run reports it, too."""
    is_finished: bool = False

    def finish(self, status: Status, *, exit_code: int = 0, error: str | None = None) -> Path:
        """Write the report of a run that has ended; return its path.

        Raises:
            ReportError: the folder is not writable.
        """
        self.is_finished = True
        finished = now_utc().isoformat(timespec="milliseconds")
        ending = {"exit_code": exit_code, "error": error, "finished_at": finished}
        report = {**self.content(), **self._entry(status), **ending}
        path = write_json(self.folder / f"{self.name}-latest.json", report)
        write_json(self._history, report)
        return path

    def begin(self) -> None:
        """Note that the run has begun, and what became of earlier ones."""
        _mark_killed(self.folder / HISTORY, self.name)
        # A folder that takes no reports is an error for the end of the run.
        with suppress(PipelineError):
            write_json(self._history, self._entry(Status.RUNNING))
        for old in _files(self.folder / HISTORY, self.name)[:-KEPT_RUNS]:
            old.unlink(missing_ok=True)

    def _entry(self, status: Status) -> dict[str, Any]:
        return {
            "command": self.command,
            "run_id": self.run_id,
            "status": str(status),
            "exit_code": None,
            "error": None,
            "started_at": self.started_at,
            "finished_at": None,
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }

    @property
    def _history(self) -> Path:
        moment = self.started_at[:23].translate(str.maketrans("", "", "-:."))
        return self.folder / HISTORY / f"{self.name}-{moment}-{self.run_id}.json"


@contextmanager
def recorded_run(
    folder: Path, name: str, command: str | None = None, run_id: str | None = None
) -> Iterator[RunRecord]:
    """Write the report of a run, also if it fails.

    The block calls `finish` itself if it succeeds.

    Args:
        folder: the folder of the reports.
        name: the beginning of the report's file name.
        command: what was run, if not `name`.
        run_id: names the run in its log, too; a random id if None.
    """
    started = now_utc().isoformat(timespec="milliseconds")
    record = RunRecord(folder, name, command or name, run_id or os.urandom(8).hex(), started)
    record.begin()
    try:
        yield record
    except BaseException as error:
        if not record.is_finished:
            # The error itself matters more than a report that cannot be written.
            with suppress(PipelineError):
                is_stopped = isinstance(error, KeyboardInterrupt)
                record.finish(
                    Status.INTERRUPTED if is_stopped else Status.FAILED,
                    exit_code=INTERRUPTED if is_stopped else getattr(error, "exit_code", 1),
                    error=None if is_stopped else str(error) or type(error).__name__,
                )
        raise


def read_history(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the reports of the last runs of a command, the oldest first."""
    reports = []
    for path in _files(folder / HISTORY, name):
        with suppress(OSError, ValueError):
            reports.append(json.loads(path.read_text()))
    return reports


def _files(history: Path, name: str) -> list[Path]:
    return sorted(history.glob(f"{name}-[0-9]*.json"))


def _mark_killed(history: Path, name: str) -> None:
    """Mark runs of this machine that are still called running, and whose process is gone."""
    for path in _files(history, name):
        with suppress(OSError, ValueError, KeyError, TypeError):
            report = json.loads(path.read_text())
            if report["status"] != Status.RUNNING or report["host"] != socket.gethostname():
                continue
            if not _is_alive(report["pid"]):
                write_json(path, {**report, "status": str(Status.KILLED)})


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()
