from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
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
    "module",
    [
        "customer_profiles.ingestion",
        "customer_profiles.processing",
        "customer_profiles.dashboards",
        "stack",
    ],
)
@pytest.mark.parametrize("delay_s", [0.3, 0.5, 0.8])
def test_a_command_that_is_stopped_in_its_first_second_prints_no_traceback(
    module: str, delay_s: float, tmp_path: Path
) -> None:
    # A module that Python imports at start says when the interpreter itself is ready.
    (tmp_path / "sitecustomize.py").write_text("print('started', flush=True)")
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
    assert child.returncode in (0, 130)
    assert "Traceback" not in errors
    assert errors.count("\n") == (1 if child.returncode else 0)


def test_the_exit_code_is_that_of_the_command() -> None:
    before = signal.getsignal(signal.SIGINT)
    assert launch(lambda: lambda: 7) == 7
    assert signal.getsignal(signal.SIGINT) is before


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
