"""The index `alerts`: one document per period of an alert, for the page and for Kibana."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from customer_profiles.search.bulk import bulk
from customer_profiles.search.client import ElasticsearchConfig, connect, translate_errors
from customer_profiles.search.documents import document_id
from customer_profiles.search.mapping import KEYWORD

ALERTS = "alerts"
MAX_UNRESOLVED = 1_000
"""Periods that are read at once."""

_DOUBLE, _DATE, _TEXT = {"type": "double"}, {"type": "date"}, {"type": "text"}
MAPPING: Mapping[str, Any] = {
    "time": _DATE,
    "since": _DATE,
    "until": _DATE,
    "told": _DATE,
    "state": KEYWORD,
    "fingerprint": KEYWORD,
    "name": KEYWORD,
    "severity": KEYWORD,
    "dataset": KEYWORD,
    "check": KEYWORD,
    "field": KEYWORD,
    "source": KEYWORD,
    "component": KEYWORD,
    "server": KEYWORD,
    "summary": _TEXT,
    "command": KEYWORD,
    "day": _DATE,
    "value": _DOUBLE,
    "expected": _DOUBLE,
    "expected_low": _DOUBLE,
    "expected_high": _DOUBLE,
    "times_before": {"type": "long"},
}
"""The fields. `state` is `firing`, `silenced` or `resolved`; `time` is when it was seen last."""


class AlertIndex:
    """Writes the index.

    Methods raise `IndexUnavailableError` if Elasticsearch does not answer and `IndexRefusedError`
    if it refuses.
    """

    def __init__(self, config: ElasticsearchConfig) -> None:
        self.config = config
        self.client = connect(config)

    def ensure(self) -> None:
        """Create the index if it is missing."""
        with translate_errors(self.config.url):
            if self.client.indices.exists(index=ALERTS):
                return
            # 400: another process has created the index in the meantime.
            self.client.options(ignore_status=400).indices.create(
                index=ALERTS,
                settings={"number_of_shards": 1, "number_of_replicas": 0},
                mappings={"dynamic": "false", "properties": dict(MAPPING)},
            )

    def unresolved(self) -> list[dict[str, Any]]:
        """Return the documents whose state is not `resolved`, the oldest first."""
        with translate_errors(self.config.url):
            found = self.client.search(
                index=ALERTS,
                query={"bool": {"must_not": {"term": {"state": "resolved"}}}},
                sort=[{"since": "asc"}],
                size=MAX_UNRESOLVED,
            )
        return [dict(hit["_source"]) for hit in found["hits"]["hits"]]

    def write(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Write documents. Each period of an alert has an id, so a repeat changes nothing.

        The time of what a document says is its version. So a process that looked earlier cannot
        overwrite what another one has found since, for example that the alert is over.

        Args:
            documents: fields of `MAPPING`, at least `fingerprint`, `since` and `time`.
        """
        lines = []
        for document in documents:
            key = document_id(f"{document['fingerprint']}|{document['since']}")
            newest = max(document["time"], document.get("until") or document["time"])
            version = int(datetime.fromisoformat(newest).timestamp() * 1000)
            action = {"_id": key, "version": version, "version_type": "external_gte"}
            lines += [json.dumps({"index": action}), json.dumps(document)]
        if lines:
            with translate_errors(self.config.url):
                bulk(self.client, ALERTS, ("\n".join(lines) + "\n").encode())
