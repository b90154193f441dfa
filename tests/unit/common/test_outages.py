"""Outages are told once, become an alert after a while, and are recorded for programs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from customer_profiles.common.outages import KEPT, Outages, read_outages


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_an_outage_is_told_once_and_so_is_its_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    outages = Outages(tmp_path, "stream", "The stream waits for it")
    for _ in range(3):
        outages.fails("MinIO", "MinIO does not answer on 127.0.0.1:9000.")
    (record,) = read_outages(tmp_path)
    assert (record.server, record.command, record.until) == ("MinIO", "stream", None)
    outages.works("Kafka", "the stream goes on")
    for _ in range(3):
        outages.works("MinIO", "the stream goes on")
    assert [(log.levelno, log.getMessage()) for log in caplog.records] == [
        (logging.WARNING, "MinIO does not answer on 127.0.0.1:9000. The stream waits for it"),
        (logging.INFO, "MinIO is back after 0 s; the stream goes on"),
    ]
    (record,) = read_outages(tmp_path)
    assert record.until is not None
    assert record.seconds is not None
    assert record.alerted_at is None


def test_an_outage_that_lasts_is_an_alert_although_no_attempt_returns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outages = Outages(tmp_path, "stream", alert_after_s=0.02)
    outages.fails("Kafka", "Kafka does not answer", "The stream waits for it")
    wait_for(lambda: read_outages(tmp_path)[0].alerted_at)
    assert [log.levelno for log in caplog.records] == [logging.WARNING, logging.ERROR]
    assert "Kafka has been away for 0 s, and the stream still runs" in caplog.text
    outages.works("Kafka", "the stream goes on")
    (record,) = read_outages(tmp_path)
    assert record.alerted_at
    assert record.until


def test_a_short_outage_and_a_command_that_ends_raise_no_alert(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outages = Outages(tmp_path, "stream", alert_after_s=0.05)
    outages.fails("Kafka", "Kafka does not answer.")
    outages.works("Kafka", "the stream goes on")
    outages.fails("MinIO", "MinIO does not answer.")
    outages.close()
    time.sleep(0.1)
    assert not [log for log in caplog.records if log.levelno == logging.ERROR]


def test_what_a_killed_command_left_open_ends_with_the_next_one(tmp_path: Path) -> None:
    before = Outages(tmp_path, "stream")
    before.fails("Kafka", "Kafka does not answer.")
    before.close()
    after = Outages(tmp_path, "stream")
    after.fails("MinIO", "MinIO does not answer.")
    after.close()
    kafka, minio = read_outages(tmp_path)
    assert kafka.until
    assert minio.until is None


def test_the_newest_outages_are_kept(tmp_path: Path) -> None:
    outages = Outages(tmp_path, "stream")
    for number in range(KEPT + 3):
        outages.fails("Kafka", f"failure {number}")
        outages.works("Kafka", "the stream goes on")
    records = read_outages(tmp_path)
    assert len(records) == KEPT
    assert records[0].problem == "failure 3"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"outages": 1}', '{"outages": [{"a": 1}]}'])
def test_a_file_that_is_no_record_stops_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "outages.json").write_text(content)
    assert read_outages(tmp_path) == []
    Outages(tmp_path, "stream").close()


def test_a_folder_that_takes_no_file_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outages = Outages(tmp_path / "file", "stream")
    outages.fails("Kafka", "Kafka does not answer.")
    outages.works("Kafka", "the stream goes on")
