"""A helper that several tests of the search library share."""

from __future__ import annotations

from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import ApiError


def api_error(status: int, error_type: str) -> ApiError:
    """Return the error of a request that Elasticsearch refuses as a whole."""
    node = NodeConfig("http", "127.0.0.1", 9200)
    meta = ApiResponseMeta(status, "1.1", HttpHeaders(), 0.0, node)
    return ApiError(error_type, meta, {"error": {"type": error_type, "reason": error_type}})
