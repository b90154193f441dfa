from __future__ import annotations

import gc
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from customer_profiles.common.launch import launch
from tests.support import ROOT

SLOW_IMPORT = """
import sys, time
from customer_profiles.common.launch import launch

def load():
    print("importing", flush=True)
    try:
        time.sleep(30)
    except BaseException:
        pass  # Some modules catch everything while they are imported.
    return lambda: 0

sys.exit(launch(load))
"""
BUSY = """
import sys, time
from customer_profiles.common.launch import launch

def main():
    print("running", flush=True)
    time.sleep(30)
    return 0

sys.exit(launch(lambda: main))
"""
SAY_STARTED = """
# Python imports this module when it starts, and before it has read any code of the project.
import signal

install = signal.signal

def install_and_say_so(number, handler):
    signal.signal = install
    result = install(number, handler)
    print("started", flush=True)
    return result

signal.signal = install_and_say_so
"""
SLOW_SHUTDOWN = """
import atexit, sys, time
from customer_profiles.common.launch import launch

@atexit.register
def shut_down():
    print("shutting down", flush=True)
    time.sleep(30)

def main():
    {end}

sys.exit(launch(lambda: main))
"""


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Restore what Ctrl-C does in this process."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


def interrupt(*command: str, wait_for: str = "") -> tuple[int, str]:
    """Send a command Ctrl-C, and return its exit code and what it writes to standard error."""
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert child.stdout
    if wait_for:
        assert child.stdout.readline() == f"{wait_for}\n"
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=20)
    return child.returncode, errors


def test_ctrl_c_during_an_import_prints_one_line() -> None:
    result = interrupt(sys.executable, "-c", SLOW_IMPORT, wait_for="importing")
    assert result == (130, "Stopped before it began; nothing was done.\n")


def test_ctrl_c_that_a_command_does_not_handle_prints_one_line() -> None:
    result = interrupt(sys.executable, "-c", BUSY, wait_for="running")
    assert result == (130, "Stopped.\n")


@pytest.mark.parametrize(
    "end",
    ["return 0", "sys.exit(0)", "raise KeyboardInterrupt"],
    ids=["returned", "left", "stopped"],
)
def test_ctrl_c_after_the_work_ends_the_process_without_a_traceback(end: str) -> None:
    result = interrupt(
        sys.executable, "-c", SLOW_SHUTDOWN.format(end=end), wait_for="shutting down"
    )
    assert result == (-signal.SIGINT, "Stopped.\n" if "raise" in end else "")


@pytest.mark.parametrize(
    "module",
    [
        "customer_profiles.ingestion",
        "customer_profiles.processing",
        "customer_profiles.dashboards",
        "stack",
    ],
)
@pytest.mark.parametrize("delay_s", [0.0, 0.2, 0.6])
def test_a_command_that_is_stopped_in_its_first_second_prints_no_traceback(
    module: str, delay_s: float, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SAY_STARTED)
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    child = subprocess.Popen(
        [sys.executable, "-m", module, "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environ,
    )
    assert child.stdout
    assert child.stdout.readline() == "started\n"
    time.sleep(delay_s)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=20)
    # After its work, while Python shuts down, the command dies of the signal itself.
    assert child.returncode in (0, 130, -signal.SIGINT)
    assert errors.count("\n") == (1 if child.returncode == 130 else 0)
    assert "Traceback" not in errors


@pytest.mark.usefixtures("interrupts")
def test_imports_run_without_garbage_collection_and_the_command_with_it() -> None:
    enabled: list[bool] = []

    def load() -> Callable[[], int]:
        enabled.append(gc.isenabled())
        return lambda: int(gc.isenabled())

    assert launch(load) == 1
    assert enabled == [False]


@pytest.mark.usefixtures("interrupts")
def test_the_exit_code_is_that_of_the_command() -> None:
    assert launch(lambda: lambda: 7) == 7


@pytest.mark.usefixtures("interrupts")
def test_a_command_in_the_background_goes_on_ignoring_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert launch(lambda: lambda: 7) == 7
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_what_a_command_writes_is_for_its_owner_alone(tmp_path: Path) -> None:
    letters = tmp_path / "letters.csv"
    code = (
        "from pathlib import Path; from customer_profiles.common.launch import launch; "
        f"launch(lambda: lambda: Path({str(letters)!r}).write_text('x') * 0)"
    )
    command = ["sh", "-c", 'umask 022; exec "$0" -c "$1"', sys.executable, code]
    subprocess.run(command, cwd=ROOT, check=True)
    assert stat.S_IMODE(letters.stat().st_mode) == 0o600


@pytest.mark.parametrize("package", ["ingestion", "processing", "dashboards"])
def test_every_program_starts_that_way(package: str) -> None:
    main = ROOT / package / "src" / "customer_profiles" / package / "__main__.py"
    assert "launch(_load)" in main.read_text()
    assert "launch(_load)" in (ROOT / "stack" / "__main__.py").read_text()
