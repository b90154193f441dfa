"""The native stack: settings, Java, space, and processes that come and go."""

from __future__ import annotations

import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from stack import install, jvm
from stack.__main__ import main
from stack.errors import StackError
from stack.server import Server
from stack.settings import PORT_DEFAULTS, Settings
from stack.spark import spark
from stack.supervisor import Supervisor, is_free

KEYS = {"MINIO_ROOT_USER": "admin", "MINIO_ROOT_PASSWORD": "secret-of-32"}


def settings(home: Path, **changes: str) -> Settings:
    return Settings.from_env({**KEYS, "STACK_HOME": str(home), **changes})


def test_settings_name_everything_that_is_missing_at_once(tmp_path: Path) -> None:
    with pytest.raises(StackError) as failure:
        Settings.from_env({"KAFKA_PORT": "lots", "STACK_HOME": str(tmp_path)})
    for words in ("KAFKA_PORT=lots", "MINIO_ROOT_USER is not set", "MINIO_ROOT_PASSWORD is not set", "make setup"):
        assert words in str(failure.value)


def test_two_servers_on_one_port_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="port 9000 is given to two servers"):
        settings(tmp_path, MINIO_CONSOLE_PORT="9000")


def java_home(folder: Path, version: str, modules: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    java = folder / "bin" / "java"
    java.write_text("#!/bin/sh\nexit 1\n")
    java.chmod(0o755)
    (folder / "release").write_text(f'JAVA_VERSION="{version}"\nMODULES="java.base {modules}"\n')
    return folder


@pytest.mark.parametrize(
    ("found", "spark", "elasticsearch"),
    [
        ([], None, None),
        ([("17.0.15", jvm.VECTOR_MODULE)], 17, None),
        ([("17.0.15", jvm.VECTOR_MODULE), ("25.0.3", jvm.VECTOR_MODULE)], 25, 25),
        ([("17.0.15", jvm.VECTOR_MODULE), ("25.0.2", "")], 17, 25),
        ([("21.0.1", ""), ("11.0.2", jvm.VECTOR_MODULE), ("26", jvm.VECTOR_MODULE)], None, 21),
    ],
)
def test_each_server_gets_a_java_that_suits_it(
    tmp_path: Path, found: list[tuple[str, str]], spark: int | None, elasticsearch: int | None
) -> None:
    jvms = [jvm.describe(java_home(tmp_path / str(n), *facts)) for n, facts in enumerate(found)]
    known = [one for one in jvms if one]
    chosen = jvm.for_spark(known), jvm.for_elasticsearch(known)
    assert [one and one.version for one in chosen] == [spark, elasticsearch]


def test_java_home_is_asked_first(tmp_path: Path) -> None:
    home = java_home(tmp_path / "mine", "21.0.1", jvm.VECTOR_MODULE)
    assert jvm.find({"JAVA_HOME": str(home), "PATH": ""}, tmp_path)[0].home == home


def test_a_full_disk_is_said_before_anything_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**8))
    with pytest.raises(StackError, match=r"0\.1 GB free.*needs 0\.5 GB") as failure:
        install.check_space(tmp_path / "not" / "there", install.RUN_SPACE)
    assert "STACK_HOME" in str(failure.value)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


CHILD = "import subprocess, sys; subprocess.Popen(['sleep', '300'], process_group=0); print('begun', flush=True); "


def server(name: str, code: str = "import time; time.sleep(300)", ready: bool = True, deadline_s: float = 20) -> Server:
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
    made = Supervisor(settings(tmp_path, KAFKA_PORT=str(free_port())), lambda _: None)
    yield made
    made.down(["one", "two"])


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
    assert not psutil.pid_exists(state.pid) or psutil.Process(state.pid).status() == psutil.STATUS_ZOMBIE


def test_down_also_ends_what_a_server_started(supervisor: Supervisor) -> None:
    supervisor.up([server("one", CHILD + "import time; time.sleep(300)")])
    state = supervisor.state("one")
    assert state is not None
    deadline = time.monotonic() + 10
    children: list[psutil.Process] = []
    while not children and time.monotonic() < deadline:
        children = psutil.Process(state.pid).children()
    assert children
    supervisor.down(["one"])
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


def test_a_server_that_ends_while_starting_shows_its_log(supervisor: Supervisor) -> None:
    with pytest.raises(StackError, match=r"(?s)one ended while it was starting.*no such thing"):
        supervisor.up([server("one", "raise SystemExit('no such thing')", ready=False)])


def test_a_server_that_does_not_answer_is_stopped_at_its_deadline(supervisor: Supervisor) -> None:
    with pytest.raises(StackError, match="one did not answer within 0 s"):
        supervisor.up([server("one", ready=False, deadline_s=0.3)])
    assert supervisor.state("one") is None


def test_a_taken_port_is_named_with_its_holder_and_the_way_out(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        assert not is_free(port)
        busy = Supervisor(settings(tmp_path, KAFKA_PORT=str(port)), lambda _: None)
        with pytest.raises(StackError, match=rf"(?s)Port {port} \(KAFKA_PORT, for one\) is taken by .*--repick"):
            busy.up([server("one")])


def test_a_process_id_that_went_to_another_program_is_not_taken_for_ours(tmp_path: Path) -> None:
    made = Supervisor(settings(tmp_path), lambda _: None)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "one.json").write_text(f'{{"pid": {psutil.Process().pid}, "began": 12345.0}}')
    assert made.state("one") is None


def test_clean_asks_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in {**KEYS, "STACK_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    kept, data = tmp_path / "dist" / "kafka", tmp_path / "data" / "kafka"
    kept.mkdir(parents=True)
    data.mkdir(parents=True)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))
    assert main(["clean"]) == 1
    assert "YES=1" in capsys.readouterr().err
    assert data.exists()
    assert main(["clean", "--yes"]) == 0
    assert kept.exists()
    assert not data.exists()


def test_every_port_is_in_the_example_and_in_the_script() -> None:
    for file in (".env.example", "configure-ports.sh"):
        text = Path(file).read_text()
        for name, port in PORT_DEFAULTS.items():
            assert f"{name}={port}" in text


def test_a_master_that_answers_without_words_is_not_ready_yet(tmp_path: Path) -> None:
    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Empty) as page:
        thread = threading.Thread(target=page.handle_request)
        thread.start()
        chosen = settings(tmp_path, SPARK_UI_PORT=str(page.server_port))
        java = jvm.Jvm(Path("/java"), 21, has_vector_module=True)
        master = spark(chosen, java)[0]
        assert not master.ready()
        thread.join()


def test_there_are_as_many_spark_workers_as_settings_say(tmp_path: Path) -> None:
    assert settings(tmp_path).servers == ("kafka", "spark-master", "spark-worker", "minio", "elasticsearch")
    more = settings(tmp_path, SPARK_WORKERS="3").servers
    assert more == (
        "kafka",
        "spark-master",
        "spark-worker",
        "spark-worker-2",
        "spark-worker-3",
        "minio",
        "elasticsearch",
    )
