"""Errors that end a command with one clear message."""

from __future__ import annotations


class PipelineError(Exception):
    """A failure that a person has to act on; the message names the next action."""


class SettingsError(PipelineError):
    """A setting is missing or malformed; the message names all of them at once."""
