"""Which run wrote something, and whether that run is still there."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from customer_profiles.common.clock import now_utc
from customer_profiles.lake.errors import WriteConflictError

_STARTED = 19
"""The position of a process's start among the fields behind its name in `/proc/PID/stat`."""


def this_run() -> dict[str, Any]:
    """Return a note that names this process: host, process, time and what tells it from others."""
    pid = os.getpid()
    return {
        "host": socket.gethostname(),
        "pid": pid,
        "since": now_utc().isoformat(timespec="seconds"),
        "started": _started(pid),
    }


def is_this_run(run: Mapping[str, Any] | None) -> bool:
    """Tell whether a note names this process."""
    if not run:
        return False
    return all(run.get(name) == value for name, value in this_run().items() if name != "since")


def is_other_running(run: Mapping[str, Any] | None) -> bool:
    """Tell whether a note names another process that certainly runs.

    Nobody can tell that of a process on another machine, or where there is no `/proc`. A number is
    given again when its process has ended, so the time of its start has to match, too.
    """
    if not run or run.get("host") != socket.gethostname() or run.get("pid") == os.getpid():
        return False
    started = run.get("started")
    return started is not None and _started(int(run["pid"])) == started


def describe_run(run: Mapping[str, Any]) -> str:
    """Return a run's note for people."""
    return f"{run.get('host')} (process {run.get('pid')}) since {run.get('since')}"


def busy_error(number: int, run: Mapping[str, Any] | None) -> WriteConflictError:
    """Return the error of a run that meets another one at the same batch.

    Args:
        number: the batch.
        run: the other run; None if it is unknown.
    """
    name = f", on {describe_run(run)}," if run else ""
    return WriteConflictError(
        f"Another run{name} is landing micro-batch {number}; this one has stopped and nothing is "
        "lost.\nRun `make process` again when the other has ended."
    )


def _started(pid: int) -> int | None:
    """Return when a process started, in ticks of its machine; None if that cannot be told."""
    with suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[_STARTED])
    return None
