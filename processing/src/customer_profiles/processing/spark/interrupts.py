"""Ctrl-C while Spark starts and while a job runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def delay_interrupt() -> Iterator[None]:
    """Hold Ctrl-C back until the block ends, then do what Ctrl-C did before.

    A start of Spark that is interrupted half-way leaves a JVM that no object owns.
    """
    received: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    # A stream's own handler stays in charge, and nothing has to be raised for it.
    handler = before if callable(before) else signal.default_int_handler
    signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield
    finally:
        # Replaces Spark's own handler, which calls Java in the middle of another call.
        signal.signal(signal.SIGINT, handler)
    for number in received:
        handler(number, None)


def was_interrupted(error: BaseException | None) -> bool:
    """Tell whether Ctrl-C caused an error.

    pyspark cleans up over the connection that Ctrl-C broke, which raises a second error on top.
    """
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None
