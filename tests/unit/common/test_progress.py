from __future__ import annotations

import logging
from io import StringIO

import pytest
from rich.console import Console

from customer_profiles.common.console import create_console
from customer_profiles.common.progress import ProgressDisplay


def terminal() -> Console:
    return Console(file=StringIO(), force_terminal=True, width=100)


def output(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_terminal_shows_one_bar_for_the_current_step() -> None:
    console = terminal()
    with ProgressDisplay(console, "tasks") as progress:
        assert progress._bar
        progress("landing", 1, 2)
        progress("landing", 2, 2)
        progress("profiles", 3, 32)
        (task,) = progress._bar.tasks
        assert (task.description, task.completed, task.total) == ("profiles", 3, 32)
    assert "3/32" in output(console)
    assert "tasks" in output(console)


def test_a_display_of_bytes_updates_its_description() -> None:
    console = terminal()
    with ProgressDisplay(console, "bytes") as progress:
        assert progress._bar
        progress("events", 1_000_000, None, description="9 rows")
        progress("events", 2_000_000, 4_000_000, description="18 rows")
        (task,) = progress._bar.tasks
        assert task.description == "18 rows"
        assert task.completed == 2_000_000
    assert "MB" in output(console)


def test_without_a_terminal_a_line_is_logged_at_intervals(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    now = 100.0
    monkeypatch.setattr("customer_profiles.common.progress.time.monotonic", lambda: now)
    with ProgressDisplay(create_console(), "tasks", log_every_s=5.0) as progress:
        for now in (101.0, 106.0, 108.0, 112.0):
            progress("profiles", int(now) - 100, 32)
    assert caplog.messages == ["profiles: 6 of 32 tasks", "profiles: 12 of 32 tasks"]
    assert caplog.records[0].__dict__["step"] == "profiles"
    assert caplog.records[0].__dict__["completed"] == 6


def test_a_log_line_may_have_its_own_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    with ProgressDisplay(create_console(), "bytes", log_every_s=-1) as progress:
        progress("events", 1, None, log_line="9 rows read, 8 accepted")
    assert caplog.messages == ["9 rows read, 8 accepted"]


def test_an_error_stops_the_bar() -> None:
    console = terminal()
    display = ProgressDisplay(console, "tasks")

    def fail() -> None:
        with display as progress:
            progress("landing", 1, 2)
            raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        fail()
    assert display._bar
    assert not display._bar.live.is_started
