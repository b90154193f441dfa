"""Errors of Elasticsearch."""

from __future__ import annotations

from customer_profiles.common.errors import PipelineError


class IndexUnavailableError(PipelineError):
    """Elasticsearch does not answer. The lake does not have to wait for it."""


class IndexRefusedError(PipelineError):
    """Elasticsearch answers and refuses the request."""


class DocumentsRefusedError(IndexRefusedError):
    """Elasticsearch refuses some documents for what they contain, and takes others."""
