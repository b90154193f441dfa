from __future__ import annotations

import subprocess
import sys

import pytest
from rich.console import Console
from rich.table import Table

from customer_profiles.common.console import create_console

TABLE = Table(box=None, show_header=False)
TABLE.add_row("[bold]Customers[/]", "7")


@pytest.mark.parametrize(
    ("objects", "options"),
    [
        (("plain text, as it stands",), {}),
        (("two", "texts"), {}),
        ((), {}),
        (("with [brackets]",), {"markup": False}),
        (("[yellow]with markup[/]",), {"markup": True}),
        (("[/x] is no markup :smile:",), {}),
        (("styled",), {"style": "bold"}),
        (("a line far longer than a terminal " * 9,), {}),
        ((TABLE,), {}),
        ((5, None), {}),
    ],
)
def test_a_plain_console_prints_what_rich_prints(
    objects: tuple[object, ...],
    options: dict[str, bool | str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    rich = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    rich.print(*objects, **options)  # type: ignore[arg-type]
    expected = capsys.readouterr().out
    create_console().print(*objects, **options)  # type: ignore[arg-type]
    assert capsys.readouterr().out == expected


def test_a_terminal_gets_a_rich_console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert isinstance(create_console(), Console)


def test_a_plain_console_takes_other_attributes_from_rich() -> None:
    console = create_console()
    assert not console.is_terminal
    assert console.width > 0


def test_plain_text_off_a_terminal_does_not_import_rich() -> None:
    program = (
        "import logging, sys; from customer_profiles.common.logs import configure_logging; "
        "from customer_profiles.common.progress import ProgressDisplay; "
        "console = configure_logging({}); console.print('done'); "
        "logging.getLogger('customer_profiles').warning('careful'); "
        "display = ProgressDisplay(console, 'tasks'); display.__enter__()('step', 1, 2); "
        "sys.exit('rich' in sys.modules)"
    )
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (completed.returncode, completed.stdout) == (0, "done\n  careful\n")
