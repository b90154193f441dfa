"""Servers as a person starts and stops them, and what commands say without servers."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil
import pytest

from tests.integration.conftest import Stack
from tests.support import HEADER


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
