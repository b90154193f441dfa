"""Ctrl-C while Spark starts and while a job runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import pairwise

import pytest

from customer_profiles.processing.spark.interrupts import delay_interrupt, was_interrupted


@pytest.fixture(autouse=True)
def _restore_handler() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.mark.parametrize("times", [1, 3])
def test_ctrl_c_is_held_back_until_the_block_ends(times: int) -> None:
    steps = []

    def start() -> None:
        with delay_interrupt():
            for number in range(times):
                signal.raise_signal(signal.SIGINT)
                steps.append(number)

    with pytest.raises(KeyboardInterrupt):
        start()
    assert steps == list(range(times))


def test_without_ctrl_c_the_block_just_ends() -> None:
    steps = []
    with delay_interrupt():
        steps.append("started")
    assert steps == ["started"]


def test_afterwards_ctrl_c_interrupts_at_once_whatever_the_block_has_set() -> None:
    with delay_interrupt():
        # As Spark does, whose handler calls Java.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_the_handler_of_a_stream_stays_in_charge() -> None:
    stopped: list[int] = []

    def stop(number: int, _: object) -> None:
        stopped.append(number)

    signal.signal(signal.SIGINT, stop)
    with delay_interrupt():
        signal.raise_signal(signal.SIGINT)
        assert stopped == []
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert stopped == [signal.SIGINT]
    with delay_interrupt():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    # Ctrl-C twice ends a stream at once, also if both came during the start.
    assert stopped == [signal.SIGINT] * 3
    assert signal.getsignal(signal.SIGINT) is stop


def test_an_error_of_the_block_is_raised_and_ctrl_c_works_again() -> None:
    def start() -> None:
        with delay_interrupt():
            signal.raise_signal(signal.SIGINT)
            raise ValueError("Spark did not start")

    with pytest.raises(ValueError, match="Spark did not start"):
        start()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def chain(*errors: BaseException) -> BaseException:
    """Return the last of several errors, each raised while the one before was handled."""
    for before, error in pairwise(errors):
        error.__context__ = before
    return errors[-1]


@pytest.mark.parametrize(
    ("error", "interrupted"),
    [
        (None, False),
        (KeyboardInterrupt(), True),
        (OSError("closed"), False),
        (chain(KeyboardInterrupt(), OSError("closed")), True),
        (chain(KeyboardInterrupt(), OSError("closed"), ValueError("no answer")), True),
        (chain(ValueError("first"), OSError("closed")), False),
    ],
)
def test_an_error_on_top_of_ctrl_c_is_still_ctrl_c(
    error: BaseException | None, *, interrupted: bool
) -> None:
    assert was_interrupted(error) is interrupted
