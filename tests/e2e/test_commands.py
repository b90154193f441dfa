"""The commands as a person uses them."""

from __future__ import annotations

import base64
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest

from stack.processes import session_members
from stack.settings import PORT_NAMES, Settings
from stack.supervisor import Supervisor
from tests.integration.conftest import Stack, messages, search
from tests.support import ROOT


def test_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    declared = re.search(r"^\.PHONY: (.*)$", makefile, re.M)
    assert declared
    documented = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.M))
    assert documented == set(declared[1].split())


def test_a_second_up_is_harmless_and_status_tells_what_runs(stack: Stack) -> None:
    again = stack.run("make", "up")
    assert again.returncode == 0
    assert "up already" in again.stdout
    status = stack.run("make", "status", COLUMNS="200")
    assert status.returncode == 0
    for name in ("kafka", "spark-master", "spark-worker", "minio", "elasticsearch"):
        assert re.search(rf"^{name}\s+answers\s+\d+\s+\d{{4}}-\d\d-\d\d .* MB", status.stdout, re.M)
    memory = re.search(r"5 of 5 servers run in ([\d,]+) MB", status.stdout)
    assert memory
    assert int(memory[1].replace(",", "")) > 500


def stack_processes(stack: Stack) -> dict[str, list[psutil.Process]]:
    """Return the processes of each server, by its name."""
    settings = Settings.from_env(stack.environ)
    supervisor = Supervisor(settings)
    states = {name: supervisor.state(name) for name in settings.servers}
    return {
        name: [
            process
            for process in session_members(state.pid)
            # A command that a server ran a moment ago may not be collected yet.
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        ]
        for name, state in states.items()
        if state
    }


def test_the_documented_ports_alone_listen_and_on_loopback_alone(stack: Stack) -> None:
    documented = {int(stack.environ[name]) for name in PORT_NAMES}
    others: dict[str, set[int]] = {}
    for name, processes in stack_processes(stack).items():
        for process in processes:
            listening = [c for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
            for connection in listening:
                assert ip_address(connection.laddr.ip.removeprefix("::ffff:")).is_loopback
            found = {connection.laddr.port for connection in listening} - documented
            if found:
                others.setdefault(name, set()).update(found)
    # A worker talks to the master on one port, and has its page on another.
    assert set(others) == {"spark-worker"}
    assert len(others["spark-worker"]) == 2


def test_no_secret_is_on_a_command_line_or_in_a_file_that_others_can_read(
    stack: Stack, tmp_path: Path
) -> None:
    events = tmp_path / "secrets.csv"
    for target in ("sample", "ingest"):
        done = stack.run("make", target, "ROWS=2000", "SEED=29", f"FILE={events}")
        assert done.returncode == 0, done.stderr
    command = [sys.executable, "-m", "customer_profiles.processing", "process"]
    seen: set[str] = set()
    with subprocess.Popen(
        command, cwd=ROOT, env=dict(stack.environ), stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout
        for line in run.stdout:
            assert "only-for-tests" not in line
            # Driver, worker and executor run by the time that they report progress.
            for process in psutil.process_iter(["cmdline"]):
                seen.add("\0".join(process.info["cmdline"] or ()))
    assert run.returncode == 0
    assert any("CoarseGrainedExecutorBackend" in line for line in seen)
    assert any("deploy.worker.Worker" in line for line in seen)
    assert not [line for line in seen if "only-for-tests" in line]
    home = Path(stack.environ["STACK_HOME"])
    assert (stack.reports / "process-spark.log").stat().st_size > 0
    for path in (*home.glob("*"), *stack.reports.iterdir(), *(home / "logs").iterdir()):
        assert not path.stat().st_mode & 0o077, path
        if path.is_file():
            assert b"only-for-tests" not in path.read_bytes(), path


def test_kafka_answers_nobody_without_the_account(stack: Stack) -> None:
    for changes, reason in (
        ({"KAFKA_PASSWORD": ""}, "closes connections without a password"),
        ({"KAFKA_PASSWORD": "guessed"}, "refuses the account profiles"),
    ):
        done = stack.python("customer_profiles.ingestion", "setup", **changes)
        assert done.returncode == 1
        assert reason in done.stderr


@pytest.mark.parametrize("login", [None, "elastic:", "elastic:guessed", "other:only-for-tests"])
@pytest.mark.parametrize("path", ["", "customer_profiles/_search", "_cluster/health", "_nodes"])
def test_elasticsearch_answers_nobody_without_the_account(
    stack: Stack, login: str | None, path: str
) -> None:
    # A website whose name leads to this machine sends its own name as the host.
    headers = {"Host": "attacker.example"}
    if login is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    request = urllib.request.Request(
        f"{stack.processing.elasticsearch_url}/{path}", headers=headers
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    with refused.value as answer:
        assert answer.code == 401
        assert json.load(answer)["error"]["type"] == "security_exception"


def test_spark_refuses_whoever_does_not_begin_with_the_secret(stack: Stack) -> None:
    (worker,) = (
        process
        for process in stack_processes(stack)["spark-worker"]
        if "deploy.worker.Worker" in " ".join(process.cmdline())
    )
    pages = {int(stack.environ["SPARK_UI_PORT"]), int(stack.environ["SPARK_MASTER_PORT"])}
    ports = {c.laddr.port for c in worker.net_connections() if c.status == psutil.CONN_LISTEN}
    refusals = [_call_spark(port) for port in {*ports, *pages}]
    # Two ports are pages, which do not talk Spark's protocol.
    assert sum(b"SaslMessage" in answer for answer in refusals) == 2, refusals


def _call_spark(port: int) -> bytes:
    """Send a call of Spark's protocol, without a handshake before it; return the answer."""
    body = b"let me in"
    call = struct.pack(">bqi", 3, 1, len(body)) + body
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(struct.pack(">q", 8 + len(call)) + call)
        answer = b""
        try:
            while b"SaslMessage" not in answer and (part := connection.recv(65536)):
                answer += part
        except OSError:
            pass
        return answer


def test_the_pages_of_spark_kill_nothing(stack: Stack) -> None:
    page = f"http://127.0.0.1:{stack.environ['SPARK_UI_PORT']}"
    for path in ("app/kill/?id=app-1&terminate=true", "driver/kill/?id=driver-1&terminate=true"):
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{page}/{path}", data=b"", timeout=10)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{page}/workers/kill/?host=127.0.0.1", data=b"", timeout=10)
    with refused.value as answer:
        assert answer.code in (403, 405)


def test_logs_of_one_server_are_shown(stack: Stack) -> None:
    done = stack.run("make", "logs", "SERVER=spark-master")
    assert done.returncode == 0
    log = Path(stack.environ["STACK_HOME"], "logs", "spark-master.log").read_text()
    assert done.stdout.splitlines()[-1].split() in [line.split() for line in log.splitlines()]
    assert stack.run("make", "logs", "SERVER=nonsense").returncode != 0


@pytest.mark.parametrize("after", ["starting Spark", "landed"])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_run_that_is_stopped_leaves_no_process_and_the_next_one_goes_on(
    stack: Stack, tmp_path: Path, after: str, sent: signal.Signals
) -> None:
    events = tmp_path / f"{sent.name}-{after}.csv"
    seed = str(sum(events.name.encode()))
    for target in ("sample", "ingest"):
        assert (
            stack.run("make", target, "ROWS=3000", f"SEED={seed}", f"FILE={events}").returncode == 0
        )
    command = [sys.executable, "-m", "customer_profiles.processing", "process"]
    with subprocess.Popen(
        command, cwd=ROOT, env=dict(stack.environ), stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout
        assert any(after in line for line in run.stdout)
        started = _children(run.pid)
        run.send_signal(sent)
        run.wait(timeout=60)
    assert started
    assert run.returncode == (130 if sent is signal.SIGINT else -signal.SIGKILL)
    _, alive = psutil.wait_procs(started, timeout=60)
    assert alive == []
    assert stack.run("make", "process").returncode == 0
    assert stack.run("make", "process").stdout.startswith("Nothing new:")
    indexed = search(stack, "customer_profiles/_count")["count"]
    report = json.loads((stack.reports / "process-latest.json").read_text())
    assert report["customers"] == indexed
    assert report["events"] == _distinct_events(stack)


def _children(pid: int) -> list[psutil.Process]:
    """Wait until a process has started others, and return them."""
    deadline = time.monotonic() + 30
    while not (children := psutil.Process(pid).children(recursive=True)):
        assert time.monotonic() < deadline
    return children


def _distinct_events(stack: Stack) -> int:
    """Count the distinct events in the topic, read by a client that did not write them."""
    return len({json.loads(message.value)["event_id"] for message in messages(stack, "raw_events")})
