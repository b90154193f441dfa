"""Consoles with the interface of `rich.console.Console`.

Importing rich takes a tenth of a second. A command that prints plain text to a file or a pipe does
not need it, so this module imports rich only when it is used.
"""

from __future__ import annotations

import logging
import os
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)


def create_console(*, as_json: bool = False) -> Console:
    """Create the console for the results of a command.

    Args:
        as_json: Log what is printed, so that each line of output is one JSON object.

    Returns:
        A rich console on a terminal. Elsewhere an object with the same interface, which imports
        rich only to print markup and tables.
    """
    if as_json:
        return cast("Console", LoggingConsole())
    if sys.stdout.isatty() or os.environ.get("FORCE_COLOR"):
        return _rich_console()
    return cast("Console", PlainConsole())


def _rich_console() -> Console:
    # Imported only when a text console is built: see the module's docstring.
    from rich.console import Console  # noqa: PLC0415

    return Console(highlight=False, soft_wrap=True)


class PlainConsole:
    """A console for files and pipes that writes plain text itself and leaves the rest to rich."""

    is_terminal = False

    def print(self, *objects: Any, style: Any = None, markup: bool = True, **options: Any) -> None:
        """Print as `rich.console.Console.print` does. Styles have no effect off a terminal."""
        if options or not all(_is_plain(item, markup) for item in objects):
            self._rich.print(*objects, style=style, markup=markup, **options)
        else:
            print(*objects, flush=True)

    @cached_property
    def _rich(self) -> Console:
        return _rich_console()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rich, name)


class LoggingConsole(PlainConsole):
    """A console that logs what is printed. Tables become text without styles."""

    def print(self, *objects: Any, style: Any = None, markup: bool = True, **options: Any) -> None:
        """Log the text as one record with the event `output`. Empty text is dropped."""
        if options or not all(_is_plain(item, markup) for item in objects):
            with self._rich.capture() as capture:
                self._rich.print(*objects, style=style, markup=markup, **options)
            text = capture.get()
        else:
            text = " ".join(objects)
        if text.strip():
            logger.info("%s", text.strip(), extra={"event": "output"})


def _is_plain(item: object, markup: bool) -> bool:
    return isinstance(item, str) and not (markup and "[" in item)
