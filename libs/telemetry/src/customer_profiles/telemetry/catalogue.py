"""Every metric of the pipeline: its name, kind, labels and meaning.

Names follow https://prometheus.io/docs/practices/naming/: base units, `_total` for counters. No
label names a customer, and every label has few values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

PREFIX = "customer_profiles_"
BATCH_SECONDS = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histogram of a micro-batch's seconds."""


class Metric(NamedTuple):
    """What a metric is."""

    kind: str
    help: str
    labels: tuple[str, ...] = ()


_RUNS: Mapping[str, Metric] = {
    "runs_total": Metric(
        "counter", "Runs that ended, by command and status.", ("command", "status")
    ),
    "run_duration_seconds": Metric("gauge", "Duration of the newest run.", ("command",)),
    "last_run_timestamp_seconds": Metric("gauge", "When the newest run ended.", ("command",)),
    "last_success_timestamp_seconds": Metric(
        "gauge", "When the newest run ended that did all of its work.", ("command",)
    ),
    "stage_seconds_total": Metric(
        "counter",
        "Seconds of all runs by stage. Stages of an ingestion overlap.",
        ("command", "stage"),
    ),
}
_INGESTION: Mapping[str, Metric] = {
    "ingest_rows_read_total": Metric(
        "counter", "Rows read: accepted + dead-lettered + duplicates."
    ),
    "ingest_events_accepted_total": Metric("counter", "Events sent to the topic raw_events."),
    "ingest_rows_dead_lettered_total": Metric("counter", "Rows sent to the dead letters."),
    "ingest_rows_rejected_total": Metric(
        "counter", "Reasons of dead letters. A row may have several.", ("reason",)
    ),
    "ingest_duplicates_total": Metric("counter", "Exact duplicates that were dropped."),
}
_PROCESSING: Mapping[str, Metric] = {
    "events_landed_total": Metric("counter", "Events written to the lake.", ("command",)),
    "invalid_messages_total": Metric(
        "counter", "Messages of raw_events that are no events.", ("command",)
    ),
    "profiles_updated_total": Metric("counter", "Profiles written to the lake.", ("command",)),
    "documents_indexed_total": Metric("counter", "Documents sent to the index.", ("command",)),
    "index_refusals_total": Metric(
        "counter", "Runs and micro-batches whose documents the index did not take.", ("command",)
    ),
    "index_behind": Metric("gauge", "1 while the index is behind the lake.", ("command",)),
    "failed_buckets": Metric("gauge", "Buckets whose newest profiles could not be built."),
    "topic_gaps": Metric("gauge", "Ranges of messages that were removed before they were read."),
    "customers": Metric("gauge", "Profiles in the lake."),
}
_STREAM: Mapping[str, Metric] = {
    "stream_batches_total": Metric("counter", "Micro-batches of the stream."),
    "stream_batch_seconds": Metric("histogram", "Seconds of a micro-batch."),
    "stream_lag_messages": Metric("gauge", "Messages in the topic that are in no micro-batch yet."),
    "stream_lag_seconds": Metric(
        "gauge", "Seconds from the oldest event of the newest micro-batch to its profile."
    ),
    "stream_lagging_buckets": Metric("gauge", "Buckets whose profiles wait for the lake."),
    "stream_last_batch_timestamp_seconds": Metric("gauge", "When the newest micro-batch was done."),
    "stream_start_timestamp_seconds": Metric("gauge", "When the stream began to follow the topic."),
}
_SERVERS: Mapping[str, Metric] = {
    "server_running": Metric("gauge", "1 if the process of a server runs.", ("server",)),
    "server_resident_memory_bytes": Metric("gauge", "Memory of a server's processes.", ("server",)),
    "server_start_timestamp_seconds": Metric("gauge", "When a server was started.", ("server",)),
}
_PAGE: Mapping[str, Metric] = {
    "page_requests_total": Metric("counter", "Requests to the page.", ("route", "code")),
    "page_request_seconds_total": Metric("counter", "Seconds spent on requests.", ("route",)),
}
_OBSERVED: Mapping[str, Metric] = {
    "up": Metric("gauge", "1 if a server answers.", ("server",)),
    "health": Metric("gauge", "0 ok, 1 degraded, 2 down, by component.", ("component",)),
    "lag_messages": Metric("gauge", "Messages in raw_events that have not landed.", ("partition",)),
    "lag_seconds": Metric("gauge", "Age of the oldest message that has not landed."),
    "lake_objects": Metric("gauge", "Objects in the lake by folder.", ("folder",)),
    "lake_bytes": Metric("gauge", "Bytes in the lake by folder.", ("folder",)),
    "index_documents": Metric("gauge", "Documents by index.", ("index",)),
    "disk_free_bytes": Metric("gauge", "Free bytes of the disk with the stack's data."),
    "open_alerts": Metric("gauge", "Alerts that are firing, by severity.", ("severity",)),
    "outage_start_timestamp_seconds": Metric(
        "gauge", "Since when a command waits for a server.", ("server", "command")
    ),
    "notifications_total": Metric("counter", "Messages about alerts, by result.", ("result",)),
    "evaluations_total": Metric("counter", "Evaluations of alerts, by result.", ("result",)),
    "observed_timestamp_seconds": Metric("gauge", "When the monitoring service looked last."),
}
SECTIONS: Mapping[str, Mapping[str, Metric]] = {
    "every command that ends": _RUNS,
    "ingestion": _INGESTION,
    "processing and stream": _PROCESSING,
    "stream": _STREAM,
    "servers of the native stack": _SERVERS,
    "page": _PAGE,
    "monitoring service": _OBSERVED,
}
"""The metrics by who writes them, without `PREFIX`."""
CATALOGUE: Mapping[str, Metric] = {
    PREFIX + name: metric for section in SECTIONS.values() for name, metric in section.items()
}
"""All metrics by their full names."""
