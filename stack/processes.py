"""Records of the servers' processes, and the sessions that these processes lead.

Each server has one small record, `run/NAME.json`, with its process id and its start time. The start
time tells the server apart from another program that the system later gave the same process id.
"""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

TERM_DEADLINE_S = 30.0
"""How long a server may take to end after SIGTERM."""


@dataclass(frozen=True, slots=True)
class ServerState:
    """The state of one running server."""

    pid: int
    started: float
    """Seconds since the epoch."""
    memory: int
    """Resident bytes of the process and of every process that it started."""


class ProcessRecords:
    """The records of one stack's processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """Return the servers that were started and not stopped since."""
        return sorted(path.stem for path in self._folder.glob("*.json"))

    def write(self, name: str, pid: int) -> None:
        """Record the process of a server that was started."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(json.dumps({"pid": pid, "began": psutil.Process(pid).create_time()}))
        new.replace(path)

    def process(self, name: str) -> psutil.Process | None:
        """Return the running process of a server, or None if it does not run."""
        try:
            record = json.loads(self._path(name).read_text())
            process = psutil.Process(record["pid"])
            is_same = abs(process.create_time() - record["began"]) < 1
            is_running = process.status() != psutil.STATUS_ZOMBIE
        except (OSError, ValueError, psutil.NoSuchProcess):
            return None
        return process if is_same and is_running else None

    def state(self, name: str) -> ServerState | None:
        """Return the state of a server, or None if it does not run."""
        process = self.process(name)
        if process is None:
            return None
        memory = 0
        for member in session_members(process.pid):
            with suppress(psutil.NoSuchProcess):
                memory += member.memory_info().rss
        return ServerState(process.pid, process.create_time(), memory)

    def stop(self, name: str) -> None:
        """Stop a server with every process that it started, and delete its record."""
        process = self.process(name)
        if process is not None:
            stop_session(process)
        self.remove(name)

    def remove(self, name: str) -> None:
        """Delete a record, whatever its process does."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def session_members(leader: int) -> list[psutil.Process]:
    """Return every process of a session, including children that left the process group."""
    members = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == leader:
                members.append(process)
    return members


def stop_session(process: psutil.Process) -> None:
    """End a session: its leader first, then the rest, by force where that is needed."""
    members = session_members(process.pid)
    process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs([process], timeout=TERM_DEADLINE_S)
    # The processes that a server started, such as Spark's executors, end with it, even those that
    # left its process group.
    started = {*members, *session_members(process.pid)}
    remaining = [member for member in started if member.is_running()]
    for member in remaining:
        with suppress(psutil.NoSuchProcess):
            member.terminate()
    _, remaining = psutil.wait_procs([*alive, *remaining], timeout=5)
    for member in remaining:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(remaining, timeout=10)
