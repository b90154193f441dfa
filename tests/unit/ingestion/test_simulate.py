"""A file played as if it happened now."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from customer_profiles.contracts import check, decode, event_id
from customer_profiles.ingestion.inputs import FileInput
from customer_profiles.ingestion.simulate import SimulationProgress, simulate
from tests.support import HEADER, line
from tests.unit.ingestion.memory_broker import MemoryBroker

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    lines = [
        line(user_id=str(number), event_time=f"2020-09-24 11:57:{number:02d} UTC")
        for number in range(10, 15)
    ]
    path.write_text("\n".join([HEADER, *lines, line(user_session="")]) + "\n")
    return path


def played(
    path: Path, stop: threading.Event | None = None, **pace: float
) -> tuple[SimulationProgress, list[dict[str, str]]]:
    broker = MemoryBroker()
    end = stop or threading.Event()
    found = simulate(FileInput(path), broker, lambda _: None, end, clock=lambda: NOW, **pace)
    return found, [json.loads(value) for _, value in broker.topics.get("raw_events", [])]


def test_events_are_new_ones_of_now_in_the_order_of_the_file(rows: Path) -> None:
    found, messages = played(rows, speed=1_000)
    assert (found.sent, found.rejected) == (5, 1)
    assert [message["user_id"] for message in messages] == ["10", "11", "12", "13", "14"]
    for message in messages:
        assert message["event_time"] == "2026-01-02T03:04:05Z"
        assert message["event_id"] == event_id(message)
        assert message["source"] == "live"
        canonical, reasons = check(decode(json.dumps(message).encode()))
        assert not reasons
        assert canonical


def test_a_rate_spreads_events_evenly(rows: Path) -> None:
    broker = MemoryBroker()
    sent: list[int] = []
    simulate(
        FileInput(rows), broker, lambda so_far: sent.append(so_far.sent), threading.Event(), rate=10
    )
    # Five events at ten a second are over four tenths; a tick sends what is due and not more.
    assert sent[0] < 5
    assert sent[-1] == 5


def test_it_ends_when_told(rows: Path) -> None:
    stop = threading.Event()
    stop.set()
    found, messages = played(rows, stop)
    assert (found.sent, messages) == (0, [])
