"""Errors that end a command with one clear message."""

from __future__ import annotations

from customer_profiles.common.errors import PipelineError


class StackError(PipelineError):
    """A failure of the native stack that a person has to act on; the message names the action."""
