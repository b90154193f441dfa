"""Start, watch and stop the servers as processes that outlive the command that started them."""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from stack.errors import StackError
from stack.ports import describe_holder, is_free
from stack.processes import ProcessRecords, ServerState
from stack.server import Server
from stack.settings import Settings

POLL_S = 0.2

logger = logging.getLogger(__name__)


class Supervisor:
    """The processes of one stack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._run = settings.home / "run"
        self._logs = settings.home / "logs"
        self._records = ProcessRecords(self._run)
        self._stop_requests = ProcessRecords(self._run / "stop-requests")
        """Each `down` that waits for an `up` to end."""

    def log_path(self, name: str) -> Path:
        """Return the log file of a server."""
        return self._logs / f"{name}.log"

    def recorded_servers(self) -> list[str]:
        """Return the names of all servers that were started and not stopped since."""
        return self._records.names()

    def state(self, name: str) -> ServerState | None:
        """Return the state of a server, or None if it does not run."""
        return self._records.state(name)

    def up(self, servers: Sequence[Server]) -> list[str]:
        """Start the servers that do not run, in parallel, and return once every server answers.

        Returns:
            The names of the servers that this call started.

        Raises:
            StackError: a port is taken, or a server ends or does not answer by its deadline. The
                servers that this call started are stopped again. The same happens if another
                process calls `down` meanwhile.
        """
        with self._lock():
            missing = [server for server in servers if self._records.process(server.name) is None]
            self._check_ports(missing)
            ready = {server.name: threading.Event() for server in servers}
            giving_up = threading.Event()

            def bring_up(server: Server) -> None:
                if server.after:
                    while not ready[server.after].wait(POLL_S):
                        if giving_up.is_set():
                            return
                if giving_up.is_set():
                    return
                if server in missing:
                    self._start(server)
                elif not self._await_ready(server, giving_up, may_end=True):
                    missing.append(server)
                    self._start(server)
                else:
                    ready[server.name].set()
                    return
                self._await_ready(server, giving_up)
                ready[server.name].set()

            with ThreadPoolExecutor(len(servers)) as pool:
                pending = [pool.submit(bring_up, server) for server in servers]
                try:
                    done, _ = wait(pending, return_when=FIRST_EXCEPTION)
                    for future in done:
                        future.result()
                except BaseException:
                    giving_up.set()
                    wait(pending)
                    for server in missing:
                        self._records.stop(server.name)
                    raise
        return [server.name for server in missing]

    def down(self, names: Sequence[str]) -> list[str]:
        """Stop servers with every process that they started.

        An `up` of another process that is still starting servers ends first, with its servers.

        Returns:
            The names of the servers that were running.
        """
        running = self._running(names)
        with self._stop_request(), self._lock():
            running += self._running(names)
            with ThreadPoolExecutor(max(1, len(names))) as pool:
                list(pool.map(self._records.stop, names))
        return [name for name in names if name in running]

    def _running(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if self._records.process(name) is not None]

    @contextmanager
    def _stop_request(self) -> Iterator[None]:
        name = str(os.getpid())
        self._stop_requests.write(name, os.getpid())
        try:
            yield
        finally:
            self._stop_requests.remove(name)

    def _stop_is_requested(self) -> bool:
        # The request of a command that was killed has no running process.
        names = self._stop_requests.names()
        return any(self._stop_requests.process(name) is not None for name in names)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self._run.mkdir(parents=True, exist_ok=True)
        with (self._run / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logger.info(
                    "another command is starting or stopping this stack; waiting for it",
                    extra={"event": "stack_locked"},
                )
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _check_ports(self, servers: Sequence[Server]) -> None:
        taken = [
            (name, self._settings.ports[name], server.name)
            for server in servers
            for name in server.ports
            if not is_free(self._settings.ports[name])
        ]
        if taken:
            lines = [
                f"Port {port} ({setting}, for {server}) is taken{describe_holder(port)}."
                for setting, port, server in taken
            ]
            raise StackError(
                "\n".join(lines) + "\nStop that program, or choose free ports: "
                "./configure-ports.sh --repick. Then run the command again."
            )

    def _start(self, server: Server) -> None:
        server.prepare()
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self.log_path(server.name)
        if log.exists():
            log.replace(log.with_suffix(".previous.log"))
        with log.open("wb") as out:
            process = subprocess.Popen(
                server.command,
                env={**os.environ, **server.env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                # Servers write to their working folder, so give them one of this stack.
                cwd=self._run,
                start_new_session=True,
            )
        self._records.write(server.name, process.pid)

    def _await_ready(
        self, server: Server, giving_up: threading.Event, *, may_end: bool = False
    ) -> bool:
        """Wait until a server answers.

        One that ran already may end meanwhile: a worker gives up when it cannot find its master,
        also while that is starting again.

        Args:
            server: the server.
            giving_up: set when another server has failed.
            may_end: it ran already, so that it can be started again.

        Returns:
            False if it has ended and may be started again.
        """
        started = time.monotonic()
        # A server that has ended does not answer, whoever answers in its place.
        while not server.ready() or self._records.process(server.name) is None:
            waited_s = time.monotonic() - started
            if self._stop_is_requested():
                raise StackError(
                    f"Another command stopped the stack while {server.name} was starting.\n"
                    "Run `make up` to start it again."
                )
            if self._records.process(server.name) is None:
                if may_end:
                    logger.info(
                        "%s has ended; starting it again",
                        server.name,
                        extra={"event": "server_restarted", "server": server.name},
                    )
                    return False
                raise StackError(
                    f"{server.name} ended while it was starting.\n{self._log_tail(server.name)}"
                )
            if waited_s > server.deadline_s:
                raise StackError(
                    f"{server.name} did not answer within {server.deadline_s:.0f} s.\n"
                    f"{self._log_tail(server.name)}"
                )
            if giving_up.wait(POLL_S):
                return True
        _log_ready(server, time.monotonic() - started)
        return True

    def _log_tail(self, name: str) -> str:
        path = self.log_path(name)
        lines = path.read_text(errors="replace").splitlines()[-15:]
        tail = "\n".join(f"  | {line}" for line in lines)
        return f"{tail}\nThe whole log: {path}. Then run `make up` again."


def _log_ready(server: Server, seconds: float) -> None:
    logger.info(
        "%s answers (%.0f s) at %s",
        server.name,
        seconds,
        server.address,
        extra={"event": "server_ready", "server": server.name},
    )
