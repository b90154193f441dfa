"""The indices of data quality: a document per value of a day, and one per finding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from customer_profiles.search.mapping import KEYWORD
from customer_profiles.search.metrics_indices import MetricsIndices

QUALITY_METRICS = "quality_metrics"
QUALITY_FINDINGS = "quality_findings"

_DATE, _DOUBLE, _LONG = ({"type": name} for name in ("date", "double", "long"))
_COMMON: dict[str, Any] = {
    "time": _DATE,
    "check": KEYWORD,
    "dataset": KEYWORD,
    "field": KEYWORD,
    "source": KEYWORD,
    "value": _DOUBLE,
    "expected": _DOUBLE,
    "expected_low": _DOUBLE,
    "expected_high": _DOUBLE,
}
QUALITY_MAPPINGS: dict[str, dict[str, Any]] = {
    QUALITY_METRICS: {**_COMMON, "state": KEYWORD},
    QUALITY_FINDINGS: {
        **_COMMON,
        "severity": KEYWORD,
        "since": _DATE,
        "times_before": _LONG,
        "message": KEYWORD,
        "command": KEYWORD,
        "explained_by": KEYWORD,
    },
}
"""The fields of each index. `time` is the event day."""


def index_quality(
    indices: MetricsIndices, index: str, documents: Iterable[tuple[str, Mapping[str, Any]]]
) -> None:
    """Index values or findings under ids of their own, so that doing it again changes nothing.

    Findings are replaced as a whole, because one that was wrong must not stay.

    Raises:
        IndexUnavailableError: Elasticsearch does not answer.
        IndexRefusedError: it refuses.
    """
    if index == QUALITY_FINDINGS:
        indices.delete(index)
    indices.create(index, QUALITY_MAPPINGS[index])
    indices.index_documents(index, documents)
