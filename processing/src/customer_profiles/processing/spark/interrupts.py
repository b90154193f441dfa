"""Ctrl-C while Spark starts and while a job runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def delay_interrupt() -> Iterator[None]:
    """Hold Ctrl-C back until the block ends, then raise KeyboardInterrupt.

    A start of Spark that is interrupted half-way leaves a JVM that no object owns.
    """
    received: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield
    finally:
        # Replaces Spark's own handler, which calls Java in the middle of another call.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if received:
        raise KeyboardInterrupt


def was_interrupted(error: BaseException | None) -> bool:
    """Tell whether Ctrl-C caused an error.

    pyspark cleans up over the connection that Ctrl-C broke, which raises a second error on top.
    """
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None
