"""The supervisor starts, watches and stops processes."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from stack.errors import StackError
from stack.ports import is_free
from stack.server import Server
from stack.supervisor import Supervisor
from tests.unit.stack.helpers import settings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


WAIT = "import time; time.sleep(300)"
START_CHILD = (
    "import subprocess, sys; "
    "subprocess.Popen(['sleep', '300'], process_group=0); "
    "print('begun', flush=True); "
)


def server(name: str, code: str = WAIT, ready: bool = True, deadline_s: float = 20) -> Server:
    return Server(
        name=name,
        command=[sys.executable, "-c", code],
        ports=("KAFKA_PORT",),
        ready=lambda: ready,
        address="here",
        deadline_s=deadline_s,
    )


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    supervisor = Supervisor(settings(tmp_path, KAFKA_PORT=str(free_port())))
    yield supervisor
    supervisor.down(["one", "two"])


def test_up_starts_once_and_down_stops(supervisor: Supervisor) -> None:
    assert supervisor.up([server("one")]) == ["one"]
    state = supervisor.state("one")
    assert state is not None
    assert state.memory > 0
    assert supervisor.up([server("one")]) == []
    again = supervisor.state("one")
    assert again is not None
    assert again.pid == state.pid
    assert supervisor.down(["one", "two"]) == ["one"]
    assert supervisor.state("one") is None
    if psutil.pid_exists(state.pid):
        assert psutil.Process(state.pid).status() == psutil.STATUS_ZOMBIE


def test_down_also_ends_the_children_of_a_server(supervisor: Supervisor) -> None:
    supervisor.up([server("one", START_CHILD + WAIT)])
    state = supervisor.state("one")
    assert state is not None
    deadline = time.monotonic() + 10
    children: list[psutil.Process] = []
    while not children and time.monotonic() < deadline:
        children = psutil.Process(state.pid).children()
    assert children
    supervisor.down(["one"])
    assert not any(
        child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children
    )


def test_a_server_that_ends_while_starting_shows_its_log(supervisor: Supervisor) -> None:
    with pytest.raises(StackError, match=r"(?s)one ended while it was starting.*no such thing"):
        supervisor.up([server("one", "raise SystemExit('no such thing')", ready=False)])


def test_a_server_that_does_not_answer_is_stopped_at_its_deadline(supervisor: Supervisor) -> None:
    with pytest.raises(StackError, match="one did not answer within 0 s"):
        supervisor.up([server("one", ready=False, deadline_s=0.3)])
    assert supervisor.state("one") is None


def test_a_taken_port_is_reported_with_its_owner_and_the_next_action(tmp_path: Path) -> None:
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = owner.getsockname()[1]
        assert not is_free(port)
        supervisor = Supervisor(settings(tmp_path, KAFKA_PORT=str(port)))
        message = rf"(?s)Port {port} \(KAFKA_PORT, for one\) is taken by .*--repick"
        with pytest.raises(StackError, match=message):
            supervisor.up([server("one")])


def test_down_ends_an_up_that_is_still_starting_servers(supervisor: Supervisor) -> None:
    servers = [server("one"), replace(server("two", ready=False, deadline_s=60), after="one")]
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(supervisor.up, servers)
        deadline = time.monotonic() + 20
        while supervisor.state("two") is None and time.monotonic() < deadline:
            time.sleep(0.05)
        began = time.monotonic()
        assert supervisor.down(["one", "two"]) == ["one", "two"]
        assert time.monotonic() - began < 20
        with pytest.raises(StackError, match=r"(?s)stopped the stack while two.*make up"):
            starting.result()
    assert supervisor.recorded_servers() == []
    # Nothing is left that would keep the stack from starting.
    assert supervisor.up([server("one")]) == ["one"]


def test_the_request_of_a_killed_down_does_not_stop_an_up(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    requests = tmp_path / "run" / "stop-requests"
    requests.mkdir(parents=True)
    (requests / "1.json").write_text(f'{{"pid": {psutil.Process().pid}, "began": 12345.0}}')
    assert supervisor.up([slow_server("one", tmp_path)]) == ["one"]


def slow_server(name: str, folder: Path) -> Server:
    """Describe a server that is not ready at once, so that `up` has to wait."""
    marker = folder / "ready"
    code = f"import pathlib, time; time.sleep(0.5); pathlib.Path({str(marker)!r}).touch(); {WAIT}"
    return replace(server(name, code), ready=marker.exists)


def test_a_server_that_ran_and_gives_up_before_it_answers_is_started_again(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    marker = tmp_path / "ready"
    # As a worker does whose master is gone: it ends, and its next start succeeds.
    code = f"import pathlib, time; m = pathlib.Path({str(marker)!r}); time.sleep(0.5); "
    code += (
        "(tried := m.with_name('tried')).exists() and (m.touch(), time.sleep(300)); tried.touch()"
    )
    worker = replace(server("one", code), ready=lambda: True)
    assert supervisor.up([worker]) == ["one"]
    assert supervisor.up([replace(worker, ready=marker.exists)]) == ["one"]
    assert supervisor.state("one") is not None


def test_a_server_that_ends_although_somebody_answers_for_it_is_started_again(
    supervisor: Supervisor,
) -> None:
    """A master may list a worker for a moment after that has ended."""
    assert supervisor.up([server("one")]) == ["one"]
    first = supervisor.state("one")
    assert first is not None
    answers = iter(["while it ends"])

    def ready() -> bool:
        # It ends when `up` has seen that it runs.
        if next(answers, None):
            psutil.Process(first.pid).kill()
            psutil.wait_procs([psutil.Process(first.pid)], timeout=10)
        return True

    assert supervisor.up([replace(server("one"), ready=ready)]) == ["one"]
    again = supervisor.state("one")
    assert again is not None
    assert again.pid != first.pid


def test_another_program_with_the_recorded_process_id_is_not_a_server(tmp_path: Path) -> None:
    supervisor = Supervisor(settings(tmp_path))
    (tmp_path / "run").mkdir()
    record = f'{{"pid": {psutil.Process().pid}, "began": 12345.0}}'
    (tmp_path / "run" / "one.json").write_text(record)
    assert supervisor.state("one") is None
