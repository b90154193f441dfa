"""Start a command: its files are for its owner alone, and Ctrl-C ends it with one line.

Ctrl-C does so from the first moment on. Imports take up to a second, and an interrupt during them
would print a traceback. Standard library only, because it is imported before everything else.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

PRIVATE = 0o077
"""The permissions that others do not get on what a command writes: data, logs, reports, exports."""
INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""
MESSAGE = "Stopped before it began; nothing was done.\n"


def launch(load: Callable[[], Callable[[], int]]) -> int:
    """Import a command and run it as the last thing that the process does.

    Afterwards, Ctrl-C ends the process without a word: an interrupt while Python shuts down would
    print a traceback.

    Args:
        load: imports the command and returns its `main`.

    Returns:
        The exit code of `main`, or 130 after Ctrl-C.
    """
    os.umask(PRIVATE)
    # A command in the background ignores Ctrl-C, and that stays so.
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, _leave)
    with fast_imports():
        main = load()
    try:
        if interruptible:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return main()
        finally:
            if interruptible:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
    except KeyboardInterrupt:
        # `main` handles interrupts of its work. This one came before or after that.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        sys.stderr.write("Stopped.\n")
        return INTERRUPTED


@contextmanager
def fast_imports() -> Iterator[None]:
    """Look for no garbage during imports, which make none, nor later among what they have made.

    This saves a twelfth of their time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _leave(_number: int, _frame: FrameType | None) -> None:
    """End the process at once: an import could catch an exception. Nothing has to be undone."""
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, MESSAGE.encode())
    os._exit(INTERRUPTED)
