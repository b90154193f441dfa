"""Arguments reach the workflow of their command, and wrong ones are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.experimentation import analyse_command, commands, demo, plan_command
from customer_profiles.experimentation.cli import INTERRUPTED, main
from tests.unit.experimentation.small_shop import ACCESS

WORKFLOWS: dict[Any, tuple[str, ...]] = {
    commands: ("run_assign", "run_exposures", "run_expose"),
    plan_command: ("run_plan",),
    demo: ("run_demo",),
    analyse_command: ("run_analyse",),
}
Call = tuple[str, tuple[Any, ...], dict[str, Any]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Call]:
    """The workflows that were started, with their arguments except settings and console."""
    started: list[Call] = []

    def record(name: str) -> Any:
        def workflow(*arguments: Any, **options: Any) -> int:
            started.append((name, arguments[:-2], options))
            return 0

        return workflow

    for module, names in WORKFLOWS.items():
        for name in names:
            monkeypatch.setattr(module, name, record(name))
    # No .env here, and no settings of this machine.
    monkeypatch.chdir(tmp_path)
    for setting in ("LOG_FORMAT", "LOG_LEVEL", "EXPERIMENTS", "BUCKETS", "SEGMENTS"):
        monkeypatch.delenv(setting, raising=False)
    for setting, value in ACCESS.items():
        monkeypatch.setenv(setting, value)
    return started


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("assign banner", ("run_assign", ("banner", None), {"publish": False})),
        ("assign banner --id 7", ("run_assign", ("banner", "7"), {"publish": False})),
        ("assign banner --publish", ("run_assign", ("banner", None), {"publish": True})),
        ("exposures", ("run_exposures", (), {})),
        ("expose f.csv", ("run_expose", (Path("f.csv"),), {})),
        ("analyse banner", ("run_analyse", ("banner",), {})),
        ("plan banner", ("run_plan", ("banner", None), {})),
        ("plan banner --days 14", ("run_plan", ("banner", 14), {})),
        ("demo", ("run_demo", (), {})),
    ],
)
def test_a_command_starts_its_workflow(calls: list[Call], command: str, expected: Call) -> None:
    assert main(command.split()) == 0
    assert calls == [expected]


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("", "required: command"),
        ("fly", "invalid choice: 'fly'"),
        ("assign", "required: experiment"),
        ("expose", "required: file"),
        ("plan banner --days 0", "0 is not a whole number above 0"),
        ("plan banner --days x", "invalid _positive value: 'x'"),
    ],
)
def test_wrong_arguments_are_refused(
    calls: list[Call], command: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(command.split())
    assert (refused.value.code, calls) == (2, [])
    assert problem in capsys.readouterr().err


def test_help_lists_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    for command in ("assign", "exposures", "expose", "analyse", "plan", "demo"):
        assert f"\n    {command} " in out


@pytest.mark.parametrize(
    ("failure", "code", "said"),
    [
        (PipelineError("There is no file.\nMake one."), 1, "Make one."),
        (KeyboardInterrupt(), 130, INTERRUPTED),
    ],
)
def test_a_failure_is_a_message_and_an_exit_code(
    calls: list[Call],
    failure: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> int:
        raise failure

    monkeypatch.setattr(commands, "run_exposures", fail)
    assert main(["exposures"]) == code
    assert said in capsys.readouterr().err
    assert calls == []


def test_a_setting_that_is_missing_is_named(
    calls: list[Call], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MINIO_ROOT_USER")
    assert main(["exposures"]) == 1
    assert "MINIO_ROOT_USER is not set" in capsys.readouterr().err
    assert calls == []
