"""Start, watch and stop the servers as processes that outlive the command that started them.

One small record a server, `run/NAME.json`, holds the process id with the moment the process began,
so that a number the system has given to another program since is never taken for ours.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from stack.errors import StackError
from stack.server import Server
from stack.settings import Settings

TERM_DEADLINE_S = 30.0
POLL_S = 0.2

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class State:
    """What one server is doing now."""

    pid: int
    started: float
    """Seconds since the epoch."""
    memory: int
    """Resident bytes of the process and everything it started."""


class Supervisor:
    """The processes of one stack."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self._settings = settings
        self._say = say
        self._run = settings.home / "run"
        self._logs = settings.home / "logs"

    def log(self, name: str) -> Path:
        """The file into which a server writes."""
        return self._logs / f"{name}.log"

    def known(self) -> list[str]:
        """The names of all servers that were started and not stopped since."""
        return sorted(record.stem for record in self._run.glob("*.json"))

    def state(self, name: str) -> State | None:
        """What is known of a running server; None where it does not run."""
        process = self._process(name)
        if process is None:
            return None
        memory = 0
        for member in _session(process.pid):
            try:
                memory += member.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return State(process.pid, process.create_time(), memory)

    def up(self, servers: Sequence[Server]) -> list[str]:
        """Start what does not run, side by side, and return once each server answers.

        Returns:
            The names of the servers that were started now.

        Raises:
            StackError: a port is taken, a server ends or does not answer by its deadline. What this
                call had started is stopped again.
        """
        with self._lock():
            missing = [server for server in servers if self._process(server.name) is None]
            self._check_ports(missing)
            ready = {server.name: threading.Event() for server in servers}
            giving_up = threading.Event()

            def bring_up(server: Server) -> None:
                if server.after:
                    while not ready[server.after].wait(POLL_S):
                        if giving_up.is_set():
                            return
                if server in missing:
                    self._start(server)
                self._await(server, giving_up)
                ready[server.name].set()

            with ThreadPoolExecutor(len(servers)) as pool:
                waiting = [pool.submit(bring_up, server) for server in servers]
                try:
                    done, _ = wait(waiting, return_when=FIRST_EXCEPTION)
                    for future in done:
                        future.result()
                except BaseException:
                    giving_up.set()
                    wait(waiting)
                    for server in missing:
                        self._stop(server.name)
                    raise
        return [server.name for server in missing]

    def down(self, names: Sequence[str]) -> list[str]:
        """Stop the servers and everything they started; returns the names of those that ran."""
        with self._lock():
            running = [name for name in names if self._process(name) is not None]
            with ThreadPoolExecutor(max(1, len(names))) as pool:
                list(pool.map(self._stop, names))
        return running

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self._run.mkdir(parents=True, exist_ok=True)
        with (self._run / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._say("another command is starting or stopping this stack; waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _record(self, name: str) -> Path:
        return self._run / f"{name}.json"

    def _process(self, name: str) -> psutil.Process | None:
        try:
            record = json.loads(self._record(name).read_text())
            process = psutil.Process(record["pid"])
            same = abs(process.create_time() - record["began"]) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except (OSError, ValueError, psutil.NoSuchProcess):
            return None
        return process if same else None

    def _check_ports(self, servers: Sequence[Server]) -> None:
        taken = [
            (name, self._settings.ports[name], server.name)
            for server in servers
            for name in server.ports
            if not is_free(self._settings.ports[name])
        ]
        if taken:
            lines = [
                f"Port {port} ({setting}, for {server}) is taken{_holder(port)}." for setting, port, server in taken
            ]
            raise StackError(
                "\n".join(lines) + "\nStop that program, or choose free ports: ./configure-ports.sh --repick. "
                "Then run the command again."
            )

    def _start(self, server: Server) -> None:
        server.prepare()
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self.log(server.name)
        if log.exists():
            log.replace(log.with_suffix(".previous.log"))
        with log.open("wb") as out:
            process = subprocess.Popen(
                server.command,
                env={**os.environ, **server.env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                # Servers write into the folder in which they start; this one is theirs.
                cwd=self._run,
                start_new_session=True,
            )
        record = self._record(server.name)
        beside = record.with_suffix(".new")
        began = psutil.Process(process.pid).create_time()
        beside.write_text(json.dumps({"pid": process.pid, "began": began}))
        beside.replace(record)

    def _await(self, server: Server, giving_up: threading.Event) -> None:
        began = time.monotonic()
        while not server.ready():
            waited = time.monotonic() - began
            if self._process(server.name) is None:
                raise StackError(f"{server.name} ended while it was starting.\n{self._tail(server.name)}")
            if waited > server.deadline_s:
                raise StackError(
                    f"{server.name} did not answer within {server.deadline_s:.0f} s.\n{self._tail(server.name)}"
                )
            if giving_up.wait(POLL_S):
                return
        self._say(f"{server.name} answers ({time.monotonic() - began:.0f} s) at {server.address}")

    def _tail(self, name: str) -> str:
        lines = self.log(name).read_text(errors="replace").splitlines()[-15:]
        return (
            "\n".join(f"  | {line}" for line in lines) + f"\nThe whole log: {self.log(name)}. Then run `make up` again."
        )

    def _stop(self, name: str) -> None:
        process = self._process(name)
        if process is not None:
            members = _session(process.pid)
            process.send_signal(signal.SIGTERM)
            _, alive = psutil.wait_procs([process], timeout=TERM_DEADLINE_S)
            # What a server started (Spark's executors) goes with it, even where it left the process group.
            left = [member for member in {*members, *_session(process.pid)} if member.is_running()]
            for member in left:
                with suppress(psutil.NoSuchProcess):
                    member.terminate()
            _, left = psutil.wait_procs([*alive, *left], timeout=5)
            for member in left:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
            psutil.wait_procs(left, timeout=10)
        self._record(name).unlink(missing_ok=True)


def is_free(port: int) -> bool:
    """True when a server could listen on this port of the loopback address."""
    with socket.socket() as probe:
        # As the servers do, so that connections that are closing do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _holder(port: int) -> str:
    try:
        listening = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return ""
    for connection in listening:
        if (
            connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
            and connection.pid
        ):
            try:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.NoSuchProcess:
                return ""
    return ""


def _session(leader: int) -> list[psutil.Process]:
    """Every process of the session that a server leads: also children that changed their group."""
    members = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader:
                members.append(process)
        except (ProcessLookupError, PermissionError):
            continue
    return members
