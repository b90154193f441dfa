"""The commands as a person uses them."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest

from tests.integration.conftest import Stack, messages
from tests.support import HEADER, ROOT


def test_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    declared = re.search(r"^\.PHONY: (.*)$", makefile, re.M)
    assert declared
    documented = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.M))
    assert documented == set(declared[1].split())


def test_a_stack_that_is_not_up_is_said_with_the_next_action(
    fresh_stack: Stack, tmp_path: Path
) -> None:
    path = tmp_path / "events.csv"
    path.write_text(HEADER + "\n")
    for target in ("ingest", "process"):
        done = fresh_stack.run("make", target, f"FILE={path}")
        assert done.returncode != 0
        (error,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
        assert "does not answer on 127.0.0.1:" in error
        assert "make up" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("nowhere.csv", None, "There is no file"),
        ("empty.csv", "", "is empty"),
        ("other.csv", "a;b;c\n1;2;3\n", "lacks the columns event_time"),
    ],
)
def test_a_wrong_file_is_said_before_anything_is_sent(
    fresh_stack: Stack, tmp_path: Path, name: str, content: str | None, words: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    done = fresh_stack.run("make", "ingest", f"FILE={path}")
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_said_and_nothing_is_left_running(fresh_stack: Stack) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        done = fresh_stack.run("make", "up", ELASTICSEARCH_PORT=port)
    assert done.returncode != 0
    assert f"Port {port} (ELASTICSEARCH_PORT, for elasticsearch) is taken by" in done.stderr
    assert "--repick" in done.stderr
    assert not list((Path(fresh_stack.environ["STACK_HOME"]) / "run").glob("*.json"))


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


def test_everything_listens_on_loopback_alone(stack: Stack) -> None:
    ports = {
        int(stack.environ[name])
        for name in stack.environ
        if name.endswith("_PORT") and stack.environ[name]
    }
    listening = [
        c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr
    ]
    ours = {c.pid for c in listening if c.laddr.port in ports}
    addresses = {ip_address(c.laddr.ip.removeprefix("::ffff:")) for c in listening if c.pid in ours}
    assert addresses
    assert all(address.is_loopback for address in addresses)


def test_logs_of_one_server_are_shown(stack: Stack) -> None:
    done = stack.run("make", "logs", "SERVER=spark-master")
    assert done.returncode == 0
    assert "Starting Spark master" in done.stdout
    assert stack.run("make", "logs", "SERVER=nonsense").returncode != 0


def test_data_outlive_down_and_up_and_nothing_is_left_running(
    fresh_stack: Stack, tmp_path: Path
) -> None:
    events = tmp_path / "events.csv"
    assert fresh_stack.run("make", "sample", "ROWS=500", f"FILE={events}").returncode == 0
    for target in ("up", "ingest", "process"):
        done = fresh_stack.run("make", target, f"FILE={events}")
        assert done.returncode == 0, done.stdout + done.stderr
    home = fresh_stack.environ["STACK_HOME"]
    assert fresh_stack.run("make", "down").returncode == 0
    left = [
        p.pid
        for p in psutil.process_iter(["cmdline"])
        if any(home in part for part in p.info["cmdline"] or ())
    ]
    assert left == []
    assert fresh_stack.run("make", "up").returncode == 0
    assert (
        "Nothing new: all 500 rows were in"
        in fresh_stack.run("make", "ingest", f"FILE={events}").stdout
    )
    assert fresh_stack.run("make", "process").stdout.startswith("Nothing new:")
    assert fresh_stack.run("make", "clean", "YES=1").returncode == 0
    assert not (Path(home) / "data").exists()


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
    index = stack.processing.elasticsearch_url
    with urllib.request.urlopen(f"{index}/customer_profiles/_count", timeout=10) as answer:
        indexed = json.load(answer)["count"]
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
