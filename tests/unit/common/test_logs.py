from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime
from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from customer_profiles.common.errors import SettingsError
from customer_profiles.common.logs import (
    OWN_LOGGERS,
    JsonHandler,
    TextHandler,
    configure_logging,
    is_json,
)

JSON = {"LOG_FORMAT": "json"}
logger = logging.getLogger("customer_profiles.somewhere")


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers = root.handlers[:]
    levels = {name: logging.getLogger(name).level for name in OWN_LOGGERS}
    yield
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(False)


def records(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_text_is_the_bare_message_indented(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging({})
    logger.info("landed %s [events]", "1,000", extra={"event": "batch_landed", "batch": 4})
    logger.debug("not shown")
    assert capsys.readouterr() == ("  landed 1,000 [events]\n", "")


def test_warnings_are_yellow_on_a_terminal() -> None:
    output = StringIO()
    console = Console(file=output, force_terminal=True, color_system="standard", soft_wrap=True)
    assert configure_logging({}, console) is console
    logger.warning("index behind")
    logger.info("landed")
    assert output.getvalue() == "\x1b[33m  index behind\x1b[0m\n  landed\n"


def test_errors_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging({})
    logger.error("no broker")
    assert capsys.readouterr() == ("", "error: no broker\n")


def test_other_libraries_log_warnings_to_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging({"LOG_LEVEL": "DEBUG"})
    library = logging.getLogger("another_library.node")
    library.info("not shown")
    library.warning("node failed")
    assert capsys.readouterr() == ("", "node failed\n")


def test_json_is_one_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(JSON, run_id="r1")
    logger.info("landed %d\nevents", 5, extra={"event": "batch_landed", "batch": 4, "events": 5})
    logging.getLogger("elastic_transport").warning("node failed")
    first, second = records(capsys)
    time = first.pop("time")
    assert time.endswith("Z")
    assert datetime.fromisoformat(time).tzinfo
    assert first == {
        "level": "INFO",
        "event": "batch_landed",
        "run_id": "r1",
        "batch": 4,
        "message": "landed 5\nevents",
        "logger": "customer_profiles.somewhere",
        "events": 5,
    }
    assert second["event"] is None
    assert second["batch"] is None
    assert second["logger"] == "elastic_transport"


def test_json_keeps_the_traceback_and_values_of_any_type(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging(JSON)
    try:
        raise ValueError("odd")
    except ValueError:
        logger.exception("failed", extra={"path": pytest, "level": "not the level"})
    (record,) = records(capsys)
    assert "ValueError: odd" in record["exception"]
    assert "module" in record["path"]
    assert record["level"] == "ERROR"


def test_each_run_has_its_own_id() -> None:
    ids = set()
    for _ in range(3):
        configure_logging(JSON)
        (handler,) = [
            handler
            for handler in logging.getLogger().handlers
            if isinstance(handler, JsonHandler | TextHandler)
        ]
        assert isinstance(handler, JsonHandler)
        ids.add(handler._run_id)
    assert len(ids) == 3


def test_printed_output_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    console = configure_logging(JSON)
    table = Table(box=None, show_header=False)
    table.add_row("Customers", "7")
    console.print("Report: [x]", markup=False)
    console.print("[bold]Done[/]", markup=True)
    console.print()
    console.print(table)
    printed = records(capsys)
    assert [record["message"].split() for record in printed] == [
        ["Report:", "[x]"],
        ["Done"],
        ["Customers", "7"],
    ]
    assert {record["event"] for record in printed} == {"output"}


@pytest.mark.parametrize(("level", "line_count"), [("DEBUG", 3), ("INFO", 2), ("WARNING", 1)])
def test_the_level_is_a_setting(
    level: str, line_count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging({"LOG_LEVEL": level})
    logger.debug("a")
    logger.info("b")
    logger.warning("c")
    assert len(capsys.readouterr().out.splitlines()) == line_count


@pytest.mark.parametrize(
    ("environ", "as_json"),
    [({}, False), ({"LOG_FORMAT": ""}, False), ({"LOG_FORMAT": "text"}, False), (JSON, True)],
    ids=str,
)
def test_only_the_json_format_is_json(environ: dict[str, str], as_json: bool) -> None:
    assert is_json(environ) is as_json


@pytest.mark.parametrize("environ", [{"LOG_FORMAT": "xml"}, {"LOG_LEVEL": "loud"}], ids=str)
def test_an_unknown_format_or_level_is_refused(environ: dict[str, str]) -> None:
    ((name, value),) = environ.items()
    with pytest.raises(SettingsError, match=f"{name}={value} is none of"):
        configure_logging(environ)
