"""Settings of the ingestion."""

from __future__ import annotations

import logging

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.ingestion.settings import Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BLOCK_MB", "0"),
        ("BLOCK_MB", "big"),
        ("BLOCK_MB", "999"),
        ("KAFKA_CLIENT", "carrier-pigeon"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(name: str, value: str) -> None:
    with pytest.raises(PipelineError, match=f"{name}={value}"):
        Settings.from_env({name: value})


@pytest.mark.parametrize(("text", "share"), [("", 0.05), ("0", 0.0), ("7.5", 0.075), ("100%", 1.0)])
def test_max_rejected_is_a_percentage(text: str, share: float) -> None:
    assert Settings.from_env({"MAX_REJECTED": text}).max_rejected_share == pytest.approx(share)


@pytest.mark.parametrize("text", ["lots", "-1", "101"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(PipelineError, match="MAX_REJECTED="):
        Settings.from_env({"MAX_REJECTED": text})


def test_max_rejected_percent_is_the_name_and_wins_over_the_old_one() -> None:
    assert Settings.from_env({"MAX_REJECTED_PERCENT": "20 %"}).max_rejected_percent == 20
    both = {"MAX_REJECTED_PERCENT": "20", "MAX_REJECTED": "30"}
    assert Settings.from_env(both).max_rejected_percent == 20
    with pytest.raises(PipelineError, match="MAX_REJECTED_PERCENT=lots"):
        Settings.from_env({"MAX_REJECTED_PERCENT": "lots"})


@pytest.mark.parametrize(
    ("environ", "warnings"),
    [({"MAX_REJECTED": "20"}, 1), ({"MAX_REJECTED_PERCENT": "20"}, 0), ({"MAX_REJECTED": ""}, 0)],
)
def test_the_old_name_is_read_with_a_warning(
    environ: dict[str, str], warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        Settings.from_env(environ)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == warnings
    assert all("MAX_REJECTED_PERCENT" in message for message in messages)


def test_defaults_fit_the_stack() -> None:
    settings = Settings.from_env({"KAFKA_PORT": "19092"})
    assert settings.kafka.bootstrap_servers == "127.0.0.1:19092"
    assert settings.kafka_client == "librdkafka"
    assert settings.block_bytes == 4 * 1024 * 1024
    assert not settings.keep_duplicates
    assert not settings.reingest


@pytest.mark.parametrize(
    ("text", "expected"), [("1", True), ("yes", True), ("0", False), ("No", False), ("", False)]
)
def test_flags(text: str, expected: bool) -> None:
    assert Settings.from_env({"REINGEST": text}).reingest is expected


def test_all_wrong_settings_are_named_at_once() -> None:
    with pytest.raises(PipelineError, match=r"(?s)BLOCK_MB=0.*KAFKA_CLIENT=pigeon"):
        Settings.from_env({"BLOCK_MB": "0", "KAFKA_CLIENT": "pigeon"})
