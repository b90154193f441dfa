"""The note that names a run, and whether that run is still there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from customer_profiles.lake.runs import describe_run, is_other_running, this_run

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The note of another process that runs."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with monkeypatch.context() as patch:
        patch.setattr("os.getpid", lambda: child.pid)
        note = this_run()
    yield note, child
    child.kill()
    child.wait()
    child.stdin and child.stdin.close()


@needs_proc
def test_another_run_is_there_until_it_ends(other: Any) -> None:
    note, child = other
    assert is_other_running(note)
    assert describe_run(note).startswith(f"{note['host']} (process {child.pid}) since 2")
    child.kill()
    child.wait()
    assert not is_other_running(note)


@needs_proc
@pytest.mark.parametrize("change", [{"started": 1}, {"started": None}, {"host": "elsewhere"}])
def test_only_what_is_certain_counts(other: Any, change: dict[str, Any]) -> None:
    note, _ = other
    assert not is_other_running({**note, **change})


def test_a_run_is_not_another_one_than_itself() -> None:
    assert not is_other_running(this_run())
    assert not is_other_running(None)
