"""Errors that end a command with one clear message."""

from __future__ import annotations


class PipelineError(Exception):
    """A failure that a person has to act on; the message names the next action."""

    exit_code = 1
    """The exit code of the command that it ends."""


class DegradedError(PipelineError):
    """The work is done, and something that follows from it is behind."""

    exit_code = 3


class SettingsError(PipelineError):
    """A setting is missing or malformed; the message names all of them at once."""


def first_line(error: Exception) -> str:
    """Return what went wrong without the next action, for a line in a log or a note."""
    return str(error).splitlines()[0]
