"""The indices that dashboards show beside the profiles: event counts, runs and rejected rows.

`event_metrics` has the counts of events of all buckets, `pipeline_runs` one document per run or
micro-batch, and `rejected_rows` the numbers of dead letters by source, reason and day.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl

from customer_profiles.contracts.limits import MAX_DOCUMENT_ID_BYTES
from customer_profiles.profiles.event_counts import DIMENSIONS, METRIC_SCHEMA, OTHER
from customer_profiles.search.bulk import bulk, split_bodies
from customer_profiles.search.client import ElasticsearchConfig, connect, translate_errors
from customer_profiles.search.documents import document_id, iso_8601, to_double
from customer_profiles.search.mapping import KEYWORD, keyword_updates

EVENT_METRICS = "event_metrics"
PIPELINE_RUNS = "pipeline_runs"
REJECTED_ROWS = "rejected_rows"
METRICS_INDICES = (EVENT_METRICS, PIPELINE_RUNS, REJECTED_ROWS)
BULK_DOCUMENTS = 10_000
"""Documents per bulk request."""
SENDERS = 2
"""Bulk requests at once."""

_LONG, _DOUBLE, _DATE = ({"type": name} for name in ("long", "double", "date"))
MAPPINGS: dict[str, dict[str, Any]] = {
    EVENT_METRICS: {
        **{name: _DATE if name == "time" else KEYWORD for name in DIMENSIONS},
        "events": _LONG,
        "revenue": _DOUBLE,
    },
    PIPELINE_RUNS: {
        "time": _DATE,
        "kind": KEYWORD,
        "batch": _LONG,
        "events": _LONG,
        "misfits": _LONG,
        "customers": _LONG,
        "seconds": _DOUBLE,
        "lag_events": _LONG,
        "lag_seconds": _DOUBLE,
    },
    REJECTED_ROWS: {"time": _DATE, "source": KEYWORD, "reason": KEYWORD, "rows": _LONG},
}
"""The fields of each index."""


class MetricsIndices:
    """The indices of dashboards.

    All methods raise `IndexUnavailableError` if Elasticsearch does not answer and
    `IndexRefusedError` if it refuses.
    """

    def __init__(self, config: ElasticsearchConfig) -> None:
        self.config = config
        self.client = connect(config)

    def ensure(self) -> None:
        """Create the indices that are missing, and let all of them accept texts of any length."""
        with translate_errors(self.config.url):
            for name, properties in MAPPINGS.items():
                if self.client.indices.exists(index=name):
                    self._update_mapping(name)
                else:
                    self.create(name, properties)

    def create(self, name: str, properties: Mapping[str, Any]) -> None:
        """Create an index with these fields. It is no error if it is there already."""
        with translate_errors(self.config.url):
            # 400: another run has created the index in the meantime.
            self.client.options(ignore_status=400).indices.create(
                index=name,
                settings={"number_of_shards": 1, "number_of_replicas": 0},
                mappings={"dynamic": "strict", "properties": dict(properties)},
            )

    def _update_mapping(self, name: str) -> None:
        mapping = self.client.indices.get_mapping(index=name).body[name]["mappings"]
        if updates := keyword_updates(mapping.get("properties", {})):
            # 403, 429: a full disk has made the index read-only. A later run updates it.
            client = self.client.options(ignore_status=(403, 429))
            client.indices.put_mapping(index=name, properties=updates)

    def delete(self, name: str) -> None:
        """Delete an index. It is no error if there is none of that name."""
        with translate_errors(self.config.url):
            self.client.options(ignore_status=404).indices.delete(index=name)

    def index_uuid(self, name: str) -> str:
        """Return the UUID of an index; one that is deleted and created again has another."""
        with translate_errors(self.config.url):
            settings = self.client.indices.get_settings(index=name, name="index.uuid").body
        return str(settings[name]["settings"]["index"]["uuid"])

    def index_documents(
        self, index: str, documents: Iterable[tuple[str, Mapping[str, Any]]]
    ) -> None:
        """Index documents under ids of their own, so that indexing them again changes nothing.

        Args:
            index: one of `METRICS_INDICES`.
            documents: ids and documents with the fields in `MAPPINGS`. An id may have any length
                (`documents.document_id`).
        """
        actions = (
            (json.dumps({"index": {"_id": document_id(key)}}), json.dumps(document))
            for key, document in documents
        )
        self.send(index, [f"{action}\n{document}\n" for action, document in actions])

    def send(self, index: str, documents: Sequence[str]) -> None:
        """Send bulk actions, some thousands at a time.

        Args:
            index: one of `METRICS_INDICES`.
            documents: NDJSON, one action with its document per text, as `counts_to_ndjson` returns
                them.
        """
        parts = [
            documents[start : start + BULK_DOCUMENTS]
            for start in range(0, len(documents), BULK_DOCUMENTS)
        ]

        def send_part(part: Sequence[str]) -> None:
            for body in split_bodies(part, lambda texts: "".join(texts).encode()):
                bulk(self.client, index, body)

        with translate_errors(self.config.url), ThreadPoolExecutor(SENDERS) as senders:
            # Reading all results raises the first failure.
            list(senders.map(send_part, parts))


def counts_to_ndjson(counts: pl.DataFrame, *, delete: bool = False) -> list[str]:
    """Write counts of events as bulk actions for `EVENT_METRICS`.

    A document of `OTHER` brands has no brand: no profile is of "(other)", so a filter on it would
    leave the panels about customers empty.

    Args:
        counts: `METRIC_SCHEMA`. The `DIMENSIONS` of a row make up its id (`document_id`).
        delete: delete the documents instead of indexing them.

    Returns:
        NDJSON, one text per row: an action, followed by the document if it is indexed.
    """
    texts = counts.with_columns(iso_8601(counts["time"]), to_double(counts["revenue"]))
    ids = texts.select(pl.concat_str(DIMENSIONS, separator="|").alias("_id")).to_series()
    if (ids.str.len_bytes() > MAX_DOCUMENT_ID_BYTES).any():
        ids = pl.Series("_id", map(document_id, ids), dtype=pl.String)
    metadata = pl.struct(ids).struct.json_encode()
    if delete:
        lines = pl.concat_str(pl.lit('{"delete":'), metadata, pl.lit("}\n"))
    else:
        brand = pl.when(pl.col("brand") != OTHER).then("brand").alias("brand")
        columns = [brand if name == "brand" else pl.col(name) for name in METRIC_SCHEMA]
        document = pl.struct(columns).struct.json_encode()
        lines = pl.concat_str(pl.lit('{"index":'), metadata, pl.lit("}\n"), document, pl.lit("\n"))
    return texts.select(lines).to_series().to_list()
