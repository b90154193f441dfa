"""Arguments reach the workflow of their command, by the new names and the old ones."""

from __future__ import annotations

import logging
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from customer_profiles.ingestion import commands, dead_letter_commands
from customer_profiles.ingestion.cli import build_parser, main
from customer_profiles.ingestion.commands import Pace
from customer_profiles.ingestion.dead_letters import Selection

WORKFLOWS = {
    commands: ("run_setup", "run_ingest", "run_simulate"),
    dead_letter_commands: ("run_dead_letters", "run_redrive"),
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, tuple[Any, ...]]]:
    """The workflows that were started, with their arguments except settings and console."""
    started: list[tuple[str, tuple[Any, ...]]] = []

    def record(name: str) -> Any:
        def workflow(*arguments: Any) -> int:
            started.append((name, arguments[:-2]))
            return 0

        return workflow

    for module, names in WORKFLOWS.items():
        for name in names:
            monkeypatch.setattr(module, name, record(name))
    # No .env here, and no settings of this machine.
    monkeypatch.chdir(tmp_path)
    for setting in ("MAX_REJECTED", "LOG_FORMAT", "LOG_LEVEL"):
        monkeypatch.delenv(setting, raising=False)
    return started


NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("setup", ("run_setup", ())),
        ("ingest data/events.csv", ("run_ingest", ("data/events.csv",))),
        ("ingest -", ("run_ingest", ("-",))),
        ("dead-letters", ("run_dead_letters", (Selection(), None))),
        (
            "dead-letters --reason price_invalid --source f.csv --export l.csv",
            ("run_dead_letters", (Selection("price_invalid", "f.csv"), Path("l.csv"))),
        ),
        (
            "dead-letters --since 2026-11-23T12:00",
            ("run_dead_letters", (Selection(since=NOON), None)),
        ),
        (
            "redrive --since 2026-11-23T14:00+02:00 --apply",
            ("run_redrive", (Selection(since=NOON), None, True)),
        ),
        ("redrive --corrected l.csv", ("run_redrive", (Selection(), Path("l.csv"), False))),
        ("redrive --mended l.csv", ("run_redrive", (Selection(), Path("l.csv"), False))),
        ("replay --mended l.csv --apply", ("run_redrive", (Selection(), Path("l.csv"), True))),
        ("replay --corrected l.csv", ("run_redrive", (Selection(), Path("l.csv"), False))),
        ("simulate e.csv", ("run_simulate", (Path("e.csv"), Pace(1.0, None, None)))),
        (
            "replay-live e.csv --speed 60 --rate 500 --seconds 3",
            ("run_simulate", (Path("e.csv"), Pace(60.0, 500.0, 3.0))),
        ),
    ],
)
def test_each_command_starts_its_workflow(
    calls: list[tuple[str, tuple[Any, ...]]], command: str, expected: tuple[str, tuple[Any, ...]]
) -> None:
    assert main(command.split()) == 0
    assert calls == [expected]


@pytest.mark.parametrize(
    ("command", "renamed"),
    [
        ("replay --reason price_invalid", "redrive"),
        ("replay-live e.csv", "simulate"),
        ("redrive --reason price_invalid", None),
        ("simulate e.csv", None),
    ],
)
def test_an_old_name_works_with_a_warning(
    calls: list[tuple[str, tuple[Any, ...]]],
    caplog: pytest.LogCaptureFixture,
    command: str,
    renamed: str | None,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert main(command.split()) == 0
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == (1 if renamed else 0)
    assert all(f"is now {renamed}" in message for message in messages)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("dead-letters --since yesterday", "error: SINCE=yesterday is no time"),
        ("ingest nowhere.csv", "error: There is no file nowhere.csv"),
    ],
)
def test_an_error_names_the_next_action_and_gives_exit_code_1(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 1
    assert words in capsys.readouterr().err


def test_ctrl_c_says_what_is_done_and_gives_exit_code_130(
    calls: list[tuple[str, tuple[Any, ...]]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "run_ingest", interrupted)
    assert main(["ingest", "events.csv"]) == 130
    assert capsys.readouterr().err.startswith("Stopped.")


@pytest.mark.parametrize("arguments", [["simulate", "e.csv", "--rate", "0"], ["nonsense"], []])
def test_wrong_arguments_give_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as failure:
        build_parser().parse_args(arguments)
    assert failure.value.code == 2


def test_a_run_without_a_terminal_imports_no_rich_and_help_imports_no_polars() -> None:
    program = (
        "import sys; from customer_profiles.ingestion import cli\n"
        "assert 'polars' not in sys.modules\n"
        "assert cli.main(['ingest', 'nowhere.csv']) == 1\n"
        "assert 'polars' in sys.modules\n"
        "assert 'rich' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "There is no file nowhere.csv" in done.stderr
