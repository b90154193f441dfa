from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from customer_profiles.common.cli import run_command
from customer_profiles.common.errors import PipelineError, SettingsError
from customer_profiles.common.logs import configure_logging


@pytest.fixture(autouse=True)
def _restored_handlers() -> Iterator[None]:
    root = logging.getLogger()
    handlers = root.handlers[:]
    yield
    root.handlers[:] = handlers
    logging.captureWarnings(False)


def fail(error: BaseException) -> int:
    raise error


def run(error: BaseException) -> int:
    return run_command(lambda: fail(error), interrupted="Stopped. Run it again.")


def test_the_exit_code_of_the_command_is_returned(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(lambda: 7, interrupted="") == 7
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error_type", [PipelineError, SettingsError])
def test_an_error_prints_one_clear_message(
    error_type: type[PipelineError], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(error_type("no broker; run `make up`")) == 1
    assert capsys.readouterr() == ("", "error: no broker; run `make up`\n")


def test_ctrl_c_says_how_to_continue(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(KeyboardInterrupt()) == 130
    assert capsys.readouterr() == ("", "Stopped. Run it again.\n")


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run(ZeroDivisionError())


@pytest.mark.parametrize(
    ("error", "code", "event"),
    [
        (PipelineError("no broker"), 1, "command_failed"),
        (KeyboardInterrupt(), 130, "command_interrupted"),
        (ZeroDivisionError("odd"), 1, "command_crashed"),
    ],
    ids=["failed", "interrupted", "crashed"],
)
def test_every_failure_is_json_in_a_json_log(
    error: BaseException, code: int, event: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging({"LOG_FORMAT": "json"})
    assert run(error) == code
    record = json.loads(capsys.readouterr().err)
    assert record["event"] == event
    assert ("exception" in record) == (event == "command_crashed")
