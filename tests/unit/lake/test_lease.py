"""The lease lets only one stream run at a time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.lake import lease as leases
from customer_profiles.lake.errors import LakeUnavailableError
from customer_profiles.lake.layout import LEASE
from customer_profiles.lake.lease import EXPIRES_S, hold_lease, lease_holder
from tests.support import MemoryObjectStore


def write_lease(store: MemoryObjectStore, **changes: Any) -> None:
    holder = {
        "owner": "o",
        "host": "elsewhere",
        "pid": 1,
        "since": "then",
        "seen": datetime.now(UTC).isoformat(),
    }
    store.put_json(LEASE, {**holder, **changes})


def ended_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.mark.parametrize("ahead_s", [-20, 40, 200])
def test_the_lease_of_a_holder_whose_clock_differs_counts(ahead_s: int) -> None:
    store = MemoryObjectStore()
    write_lease(store, seen=(datetime.now(UTC) + timedelta(seconds=ahead_s)).isoformat())
    assert lease_holder(store)


def test_a_second_stream_is_refused_while_the_first_one_runs() -> None:
    store = MemoryObjectStore()
    with hold_lease(store, lambda: store) as holds_lease:
        assert holds_lease()
        assert f"process {os.getpid()}" in (lease_holder(store) or "")
        with pytest.raises(PipelineError, match="runs already"), hold_lease(store, lambda: store):
            pass
        assert holds_lease()
    assert lease_holder(store) is None
    assert not store.objects


@pytest.mark.parametrize(
    "changes",
    [
        {"seen": (datetime.now(UTC) - timedelta(seconds=EXPIRES_S + 1)).isoformat()},
        {"host": socket.gethostname(), "pid": ended_process()},
        # Written by a clock that was wrong.
        {"seen": (datetime.now(UTC) + timedelta(days=300)).isoformat()},
    ],
)
def test_the_lease_of_a_dead_holder_is_taken_at_once(changes: dict[str, Any]) -> None:
    store = MemoryObjectStore()
    write_lease(store, **changes)
    assert lease_holder(store) is None
    with hold_lease(store, lambda: store) as holds_lease:
        assert holds_lease()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"seen": "yesterday", "host": "a", "pid": 1, "owner": "o", "since": "s"}',
        b'{"seen": "2026-01-01T00:00:00", "host": "a", "pid": 1, "owner": "o", "since": "s"}',
        b'{"seen": "2999-01-01T00:00:00+00:00", "host": "a", "pid": 1e99}',
    ],
)
def test_a_damaged_lease_keeps_nobody_away(
    content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryObjectStore()
    store.objects[LEASE] = content
    assert lease_holder(store) is None
    assert "lease does not count, because it is damaged" in caplog.text
    with hold_lease(store, lambda: store) as holds_lease:
        assert holds_lease()
        assert lease_holder(store)
    assert not store.objects


def test_a_stream_replaces_its_own_lease_if_it_is_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW_S", 0.01)
    store = MemoryObjectStore()
    with hold_lease(store, lambda: store) as holds_lease:
        store.objects[LEASE] = b"{"
        wait_for(lambda: lease_holder(store) is not None)
        assert holds_lease()


def test_a_holder_on_another_machine_keeps_its_lease() -> None:
    store = MemoryObjectStore()
    write_lease(store, pid=ended_process())
    assert lease_holder(store) == f"elsewhere (process {store.get_json(LEASE)['pid']}) since then"  # type: ignore[index]
    with pytest.raises(PipelineError), hold_lease(store, lambda: store):
        pass


def test_a_stream_that_lost_its_lease_notices_and_keeps_the_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leases, "RENEW_S", 0.01)
    store = MemoryObjectStore()
    deadline = datetime.now(UTC) + timedelta(seconds=10)
    with hold_lease(store, lambda: store) as holds_lease:
        # A renewal that is already running may overwrite the lease once more.
        while holds_lease():
            write_lease(store)
            assert datetime.now(UTC) < deadline
    assert lease_holder(store)


class FailingStore(MemoryObjectStore):
    """A store for the thread that renews a lease. All of its writes fail while `failure` is set."""

    def __init__(self, objects: dict[str, bytes], failure: Exception) -> None:
        super().__init__()
        self.objects = objects
        self.failure: Exception | None = failure
        self.attempts = 0

    def put(self, *arguments: Any, **options: Any) -> str:
        self.attempts += 1
        if self.failure is not None:
            raise self.failure
        return super().put(*arguments, **options)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_stream_whose_renewal_fails_loses_its_lease_and_logs_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(leases, "RENEW_S", 0.01)
    store = MemoryObjectStore()
    failing_store = FailingStore(store.objects, RuntimeError("a defect"))
    with hold_lease(store, lambda: failing_store) as holds_lease:
        wait_for(lambda: not holds_lease())
    assert "renewal of the stream's lease failed" in caplog.text
    assert store.get(LEASE), "only its holder deletes a lease"


def is_unknown(holds_lease: Callable[[], bool]) -> bool:
    try:
        holds_lease()
    except LakeUnavailableError:
        return True
    return False


@pytest.mark.parametrize("taken", [False, True])
def test_after_a_long_outage_of_the_lake_a_stream_keeps_its_lease_unless_another_one_took_it(
    monkeypatch: pytest.MonkeyPatch, *, taken: bool
) -> None:
    monkeypatch.setattr(leases, "RENEW_S", 0.01)
    monkeypatch.setattr(leases, "EXPIRES_S", 0.2)
    store = MemoryObjectStore()
    failing_store = FailingStore(
        store.objects, LakeUnavailableError("MinIO does not answer.\nRun `make up`.")
    )
    with hold_lease(store, lambda: failing_store) as holds_lease:
        assert holds_lease()
        wait_for(lambda: is_unknown(holds_lease))
        if taken:
            write_lease(store)
        failing_store.failure = None
        wait_for(lambda: not is_unknown(holds_lease))
        assert holds_lease() is not taken
    assert (store.get(LEASE) is not None) is taken


def test_a_lease_that_cannot_be_deleted_is_left_to_expire(caplog: pytest.LogCaptureFixture) -> None:
    class Undeletable(MemoryObjectStore):
        def delete(self, *_: Any) -> None:
            raise LakeUnavailableError("MinIO does not answer.\nRun `make up`.")

    store = Undeletable()
    with hold_lease(store, lambda: store):
        pass
    assert "could not be deleted; it expires after 30 s: MinIO does not answer." in caplog.text
