"""Work on a background thread: its result or error reaches the caller."""

from __future__ import annotations

import threading

import pytest

from customer_profiles.processing.background import Background


def test_work_runs_beside_the_caller_and_its_result_is_kept() -> None:
    may_continue = threading.Event()

    def work() -> int:
        assert may_continue.wait(5)
        return 42

    background = Background(work, "test")
    may_continue.set()
    assert background.result() == 42
    assert background.result() == 42


def test_an_error_is_raised_where_the_result_is_read() -> None:
    def fail() -> None:
        raise ValueError("no")

    background = Background(fail, "test")
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            background.result()


def test_a_command_can_end_before_its_background_work() -> None:
    never_set = threading.Event()
    Background(never_set.wait, "test-daemon")
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "test-daemon"]
    assert thread.daemon
    never_set.set()
