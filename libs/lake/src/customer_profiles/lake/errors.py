"""Errors of the lake. Each message names the next action."""

from __future__ import annotations

from customer_profiles.common.errors import PipelineError


class LakeUnavailableError(PipelineError):
    """The object store does not answer, or it refuses a request."""


class WriteConflictError(PipelineError):
    """Another run wrote the object first, so the condition of a write no longer holds."""
