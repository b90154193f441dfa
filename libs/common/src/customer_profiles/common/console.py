"""Consoles with the interface of `rich.console.Console`, and the one place that escapes text.

Values of events, lines of files, names of files and messages of other programs reach the terminal.
They may hold escape sequences, which move the cursor, rename the window or hide text, and brackets,
which rich reads as its markup. So every console of this module shows control characters as escapes,
and takes markup only where its caller asks for it.

Importing rich takes a tenth of a second. A command that prints plain text to a file or a pipe does
not need it, so this module imports rich only when it is used.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)


def printable(text: str, length: int | None = None) -> str:
    r"""Return a text for a terminal, on one line: every character that has no look is escaped.

    Those are control characters (C0 and C1, so escape sequences and line breaks, too), marks that
    change the direction of text, other invisible characters and halves of surrogate pairs.

    Args:
        text: any text.
        length: how many characters of it to show; None for all of them.

    Returns:
        The text with escapes as in a Python literal, such as `\x1b`.
    """
    text = text[:length]
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "backslashreplace").decode()
        for character in text
    )


def printable_lines(text: str) -> str:
    """Return a text as `printable` does, but keep its line feeds, and show tabs as spaces."""
    return "\n".join(map(printable, text.expandtabs(4).split("\n")))


def printable_json(text: str) -> str:
    r"""Return JSON without characters that `printable` escapes, as JSON of the same meaning.

    Args:
        text: JSON, whose line feeds between values are kept.
    """
    # Outside of strings, JSON has only printable characters and white space.
    return "".join(
        character if character.isprintable() or character == "\n" else _json_escape(character)
        for character in text
    )


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def write_line(text: str, file: TextIO | None = None) -> None:
    """Print text with `printable_lines` to a file, or to standard output."""
    print(printable_lines(text), file=file, flush=True)


def create_console(*, as_json: bool = False) -> Console:
    """Create the console for the results of a command.

    Args:
        as_json: Log what is printed, so that each line of output is one JSON object.

    Returns:
        A rich console on a terminal. Elsewhere an object with the same interface, which imports
        rich only to print styles and tables. Both escape what they print (`printable_lines`), and
        read markup only with `markup=True`.
    """
    if as_json:
        return cast("Console", LoggingConsole())
    if sys.stdout.isatty() or os.environ.get("FORCE_COLOR"):
        return rich_console()
    return cast("Console", PlainConsole())


def rich_console(**options: Any) -> Console:
    """Create a rich console that escapes what it prints.

    Args:
        options: of `rich.console.Console`.
    """
    defaults = {"highlight": False, "soft_wrap": True, "markup": False, "emoji": False}
    return _escaping_console()(**{**defaults, **options})


@cache
def _escaping_console() -> type[Console]:
    # Imported only when a text console is built: see the module's docstring.
    from rich.console import Console, ConsoleOptions, RenderableType  # noqa: PLC0415
    from rich.segment import Segment  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    class EscapingConsole(Console):
        """A console whose every output is escaped: texts, cells of tables, progress bars."""

        def render_str(self, text: str, **options: Any) -> Text:
            # rich would remove some control characters, and measure others as no columns.
            return super().render_str(printable_lines(text), **options)

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                # Segments with `control` are rich's own movements of the cursor.
                if segment.control or segment.text.isprintable():
                    yield segment
                else:
                    yield Segment(printable_lines(segment.text), segment.style)

    return EscapingConsole


class PlainConsole:
    """A console for files and pipes that writes plain text itself and leaves the rest to rich."""

    is_terminal = False

    def print(self, *objects: Any, style: Any = None, markup: bool = False, **options: Any) -> None:
        """Print as `rich.console.Console.print` does. Styles have no effect off a terminal."""
        if options or not all(_is_plain(item, markup) for item in objects):
            self._rich.print(*objects, style=style, markup=markup, **options)
        else:
            write_line(" ".join(objects))

    @cached_property
    def _rich(self) -> Console:
        return rich_console()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rich, name)


class LoggingConsole(PlainConsole):
    """A console that logs what is printed. Tables become text without styles."""

    def print(self, *objects: Any, style: Any = None, markup: bool = False, **options: Any) -> None:
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
