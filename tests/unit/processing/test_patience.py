"""A stream waits for Kafka and MinIO however long they are away, and says so once."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.common.outages import Outages, read_outages
from customer_profiles.kafka.errors import BrokerUnavailableError
from customer_profiles.lake.errors import LakeUnavailableError
from customer_profiles.processing import patience
from customer_profiles.processing.patience import Patience


class Server:
    """Fails some times before it answers."""

    def __init__(self, failures: int, error: type[PipelineError]) -> None:
        self._failures = iter([error("Kafka does not answer.\nRun `make up`.")] * failures)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if error := next(self._failures, None):
            raise error
        return "answer"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.0001)
    monkeypatch.setattr(patience, "MAX_PAUSE_S", 0.001)


def patient(
    folder: Path,
    stop: threading.Event | None = None,
    holds_lease: Callable[[], bool] = lambda: True,
) -> Patience:
    return Patience(stop or threading.Event(), holds_lease, Outages(folder, "stream", "It waits"))


@pytest.mark.parametrize(
    ("error", "name"), [(BrokerUnavailableError, "Kafka"), (LakeUnavailableError, "MinIO")]
)
def test_a_server_that_comes_back_is_waited_for_and_told_once(
    error: type[PipelineError], name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server = Server(300, error)
    assert patient(tmp_path)(server) == "answer"
    assert server.calls == 301
    away, back = (record.getMessage() for record in caplog.records)
    assert away == "Kafka does not answer. It waits"
    assert re.fullmatch(rf"{name} is back after \d+ s; the stream goes on", back)
    (record,) = read_outages(tmp_path)
    assert (record.server, record.alerted_at) == (name, None)
    assert record.until


def test_pauses_between_attempts_grow_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 1.0)
    monkeypatch.setattr(patience, "MAX_PAUSE_S", 5.0)
    pauses: list[float | None] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout)
            return False

    patient(tmp_path, Stop())(Server(5, BrokerUnavailableError))
    assert pauses == [1, 2, 4, 5, 5]


def test_other_errors_are_not_waited_for(tmp_path: Path) -> None:
    server = Server(1, PipelineError)
    with pytest.raises(PipelineError):
        patient(tmp_path)(server)
    assert server.calls == 1


def test_a_stream_that_is_told_to_stop_waits_no_longer(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    server = Server(10, BrokerUnavailableError)
    with pytest.raises(BrokerUnavailableError):
        patient(tmp_path, stop)(server)
    assert server.calls == 1


def test_a_stream_that_lost_its_lease_waits_no_longer_and_does_nothing(tmp_path: Path) -> None:
    server = Server(10, LakeUnavailableError)
    with pytest.raises(PipelineError, match="Another stream has taken over"):
        patient(tmp_path, holds_lease=lambda: False)(server)
    assert server.calls == 0


def test_nothing_is_done_while_nobody_knows_whose_the_lease_is(tmp_path: Path) -> None:
    lease = Server(3, LakeUnavailableError)
    server = Server(0, LakeUnavailableError)
    attempts = []

    def work() -> str:
        attempts.append(lease.calls)
        return server()

    assert patient(tmp_path, holds_lease=lambda: bool(lease()))(work) == "answer"
    assert attempts == [4]
