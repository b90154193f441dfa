"""A stream waits for Kafka and MinIO, says so once, and gives up in the end."""

from __future__ import annotations

import logging
import threading

import pytest

from customer_profiles.common.errors import PipelineError
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
    monkeypatch.setattr(patience, "PAUSE_S", 0.001)


@pytest.mark.parametrize("error", [BrokerUnavailableError, LakeUnavailableError])
def test_a_server_that_comes_back_is_waited_for(
    error: type[PipelineError], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server = Server(3, error)
    assert Patience(threading.Event(), lambda: True)(server) == "answer"
    assert server.calls == 4
    assert [record.getMessage() for record in caplog.records] == [
        "Kafka does not answer. The stream waits for it, 120 s at the most",
        "the stream goes on, after 0 s",
    ]


def test_a_server_that_stays_away_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "WAIT_S", 0.05)
    with pytest.raises(BrokerUnavailableError):
        Patience(threading.Event(), lambda: True)(Server(10_000, BrokerUnavailableError))


def test_other_errors_are_not_waited_for() -> None:
    server = Server(1, PipelineError)
    with pytest.raises(PipelineError):
        Patience(threading.Event(), lambda: True)(server)
    assert server.calls == 1


def test_a_stream_that_is_told_to_stop_waits_no_longer() -> None:
    stop = threading.Event()
    stop.set()
    server = Server(10, BrokerUnavailableError)
    with pytest.raises(BrokerUnavailableError):
        Patience(stop, lambda: True)(server)
    assert server.calls == 1


def test_a_stream_that_lost_its_lease_waits_no_longer() -> None:
    with pytest.raises(PipelineError, match="Another stream has taken over"):
        Patience(threading.Event(), lambda: False)(Server(10, LakeUnavailableError))
