"""Outages are told once, and so is their end."""

from __future__ import annotations

import logging

import pytest

from customer_profiles.common import outage as outages
from customer_profiles.common.outage import Outage


def test_an_outage_is_told_once_and_so_is_its_end(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    now = 100.0
    monkeypatch.setattr(outages.time, "monotonic", lambda: now)
    outage = Outage(logging.getLogger("test"), "kafka_away")
    outage.works("nothing was wrong")
    for attempt in range(3):
        outage.fails("attempt %d failed", attempt, batch=7)
        assert outage.is_on
        now += 10
    outage.works("%s is back", "Kafka")
    assert not outage.is_on
    outage.works("still there")
    outage.fails("again")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "attempt 0 failed"),
        ("INFO", "Kafka is back, after 30 s"),
        ("WARNING", "again"),
    ]
    first, end, _ = map(vars, caplog.records)
    assert (first["event"], first["batch"], end["event"]) == ("kafka_away", 7, "kafka_away_over")
