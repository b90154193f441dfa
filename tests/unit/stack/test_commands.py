"""The commands of the native stack."""

from __future__ import annotations

import io
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.table import Table

from stack.cli import main
from stack.commands import _close_to_others, _print_wide
from stack.settings import Settings
from tests.unit.stack.helpers import KEYS


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in {**KEYS, "STACK_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def test_clean_asks_first(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    servers, data = home / "dist" / "kafka", home / "data" / "kafka"
    servers.mkdir(parents=True)
    data.mkdir(parents=True)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))
    assert main(["clean"]) == 1
    assert "YES=1" in capsys.readouterr().err
    assert data.exists()
    assert main(["clean", "--yes"]) == 0
    assert servers.exists()
    assert not data.exists()


def test_an_unknown_server_has_no_logs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "zookeeper"]) == 1
    assert "There is no server zookeeper; there are kafka, spark-master" in capsys.readouterr().err


def test_what_servers_log_about_their_clients_is_shown_escaped(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = home / "logs" / "kafka.log"
    log.parent.mkdir()
    log.write_bytes(b"client \x1b]0;title\x07 \xff\n\tat java\nlast")
    assert main(["logs", "kafka"]) == 0
    shown = capsys.readouterr().out
    assert shown == "client \\x1b]0;title\\x07 \\xff\n    at java\nlast\n"


def test_a_table_is_not_cut_on_a_narrow_terminal() -> None:
    out = io.StringIO()
    table = Table(box=None)
    table.add_column("where", no_wrap=True)
    table.add_row("x" * 120)
    _print_wide(table, Console(file=out, width=40, highlight=False, soft_wrap=True))
    assert "x" * 120 in out.getvalue()


def test_up_takes_the_folders_of_an_older_version_away_from_others(
    home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def mode(folder: Path) -> int:
        return stat.S_IMODE(folder.stat().st_mode)

    elsewhere = tmp_path_factory.mktemp("shared")
    folders = [home / name for name in ("data", "logs", "config", "run", "reports", "dist")]
    for folder in [*folders, elsewhere]:
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
    settings = Settings.from_env({**KEYS, "STACK_HOME": str(home)})
    _close_to_others(settings, {"REPORTS": str(home / "reports")})
    assert [mode(folder) for folder in folders] == [0o700] * 5 + [0o755]
    _close_to_others(settings, {"REPORTS": str(elsewhere)})
    assert mode(elsewhere) == 0o755
