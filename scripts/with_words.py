#!/usr/bin/env python
"""Run a command with the words of an environment variable as its last arguments.

Words are split as a shell splits them, with quotes, but nothing in them is evaluated.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn


def command_line(name: str, command: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return a command with the words of a variable behind it.

    Args:
        name: the variable; one that is missing has no words.
        command: the program and its first arguments.
        environ: the variables.

    Raises:
        ValueError: a quote in the variable has no end.
    """
    return [*command, *shlex.split(environ.get(name, ""))]


def main(arguments: Sequence[str]) -> NoReturn:
    """Replace this process by the command, or exit with 2 if the words cannot be read."""
    if len(arguments) < 2:
        print("usage: with_words.py VARIABLE COMMAND [ARGUMENT…]", file=sys.stderr)
        sys.exit(2)
    name, *command = arguments
    try:
        line = command_line(name, command, os.environ)
    except ValueError as error:
        print(f"error: {name} cannot be split into words: {error}.", file=sys.stderr)
        sys.exit(2)
    # The command is the Makefile's; the words are its arguments.
    os.execvp(line[0], line)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
