"""Only one stream."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from processing import lease as leases
from processing.errors import ProcessError
from processing.lease import EXPIRES_S, LEASE, find_holder, lease
from tests.support import MemoryLake


def held_by(lake: MemoryLake, **changes: Any) -> None:
    holder = {"owner": "o", "host": "elsewhere", "pid": 1, "since": "then", "seen": datetime.now(UTC).isoformat()}
    lake.put_json(LEASE, {**holder, **changes})


def ended_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_a_second_stream_is_refused_for_as_long_as_the_first_lives() -> None:
    lake = MemoryLake()
    with lease(lake, lambda: lake) as still_held:
        assert still_held()
        assert f"process {os.getpid()}" in (find_holder(lake) or "")
        with pytest.raises(ProcessError, match="runs already"), lease(lake, lambda: lake):
            pass
        assert still_held()
    assert find_holder(lake) is None
    assert not lake.objects


@pytest.mark.parametrize(
    "changes",
    [
        {"seen": (datetime.now(UTC) - timedelta(seconds=EXPIRES_S + 1)).isoformat()},
        {"host": socket.gethostname(), "pid": ended_process()},
    ],
)
def test_a_dead_holder_is_followed_at_once(changes: dict[str, Any]) -> None:
    lake = MemoryLake()
    held_by(lake, **changes)
    assert find_holder(lake) is None
    with lease(lake, lambda: lake) as still_held:
        assert still_held()


def test_a_holder_on_another_machine_is_waited_for() -> None:
    lake = MemoryLake()
    held_by(lake, pid=ended_process())
    assert find_holder(lake) == f"elsewhere (process {lake.get_json(LEASE)['pid']}) since then"  # type: ignore[index]
    with pytest.raises(ProcessError), lease(lake, lambda: lake):
        pass


def test_a_stream_that_was_overtaken_knows_it_and_leaves_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW_S", 0.01)
    lake = MemoryLake()
    deadline = datetime.now(UTC) + timedelta(seconds=10)
    with lease(lake, lambda: lake) as still_held:
        # The renewal that runs at the same moment may write once more over it.
        while still_held():
            held_by(lake)
            assert datetime.now(UTC) < deadline
    assert find_holder(lake)
