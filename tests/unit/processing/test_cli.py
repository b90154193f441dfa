"""The command line, and what becomes of a command that fails."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from customer_profiles.common import environ as environ_module
from customer_profiles.common import logs
from customer_profiles.common.errors import PipelineError
from customer_profiles.processing import __main__ as entry_point
from customer_profiles.processing import queries
from customer_profiles.processing.cli import parse_arguments
from customer_profiles.processing.settings import Settings

PROCESS = {"brief": False, "new_topic": False, "accept_gaps": False}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("process", {"command": "process", **PROCESS}),
        ("process --brief", {"command": "process", **PROCESS, "brief": True}),
        ("process --new-topic", {"command": "process", **PROCESS, "new_topic": True}),
        ("process --accept-gaps", {"command": "process", **PROCESS, "accept_gaps": True}),
        ("rebuild", {"command": "rebuild", "brief": False}),
        ("rebuild --brief", {"command": "rebuild", "brief": True}),
        ("stream", {"command": "stream"}),
        ("setup", {"command": "setup"}),
        ("restore-index", {"command": "restore-index"}),
        ("summary", {"command": "summary"}),
        ("profile 7", {"command": "profile", "user_id": "7", "origin": "index"}),
        ("profile 7 --from lake", {"command": "profile", "user_id": "7", "origin": "lake"}),
        ("profile --from index 007", {"command": "profile", "user_id": "007", "origin": "index"}),
    ],
)
def test_arguments_of_each_command(arguments: str, expected: dict[str, Any]) -> None:
    assert vars(parse_arguments(arguments.split())) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "required: command"),
        ("fly", "invalid choice: 'fly'"),
        ("profile", "required: user_id"),
        ("profile 7 --from cache", "argument --from: invalid choice: 'cache'"),
        ("stream --brief", "unrecognized arguments: --brief"),
    ],
)
def test_arguments_that_are_wrong(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_info:
        parse_arguments(arguments.split())
    assert exit_info.value.code == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """Settings of a command that runs in an empty folder, without logging of its own."""
    settings = {
        "MINIO_ROOT_USER": "u",
        "MINIO_ROOT_PASSWORD": "p",
        "REPORTS": str(tmp_path / "reports"),
    }
    monkeypatch.setattr(environ_module, "load_environ", lambda: settings)
    monkeypatch.setattr(logs, "configure_logging", lambda _: None)
    return settings


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command, as `python -m` starts it."""

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["processing", *arguments])
        return entry_point._load()()

    return run


def test_a_query_starts_no_jvm(
    environ: dict[str, str], main: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, Path]] = []

    def run_query(arguments: Any, settings: Settings, _: object) -> int:
        calls.append((arguments.user_id, settings.reports))
        return 3

    monkeypatch.setattr(queries, "run_query", run_query)
    assert main("profile", "7") == 3
    assert calls == [("7", Path(environ["REPORTS"]))]
    # The log of Spark would be here.
    assert not Path(environ["REPORTS"]).exists()


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (PipelineError("MinIO does not answer.\nRun `make up`."), 1, "MinIO does not answer."),
        (KeyboardInterrupt(), 130, "Stopped. `make process` goes on from here."),
    ],
)
def test_an_error_becomes_a_message_and_an_exit_code(
    environ: dict[str, str],
    main: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    text: str,
) -> None:
    def run_query(*_: object) -> int:
        raise error

    monkeypatch.setattr(queries, "run_query", run_query)
    assert main("summary") == code
    assert text in capsys.readouterr().err


def test_settings_that_are_missing_are_named(
    environ: dict[str, str], main: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    del environ["MINIO_ROOT_PASSWORD"]
    environ["BUCKETS"] = "none"
    assert main("process") == 1
    message = capsys.readouterr().err
    assert "MINIO_ROOT_PASSWORD is not set" in message
    assert "BUCKETS=none is not a whole number above 0" in message
