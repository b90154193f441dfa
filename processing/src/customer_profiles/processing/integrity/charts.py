"""Fill the dashboards' indices again, from the lake."""

from __future__ import annotations

from dataclasses import replace

from customer_profiles.common.errors import PipelineError
from customer_profiles.lake.layout import SENT_COUNTS
from customer_profiles.processing.integrity.diagnosis import Diagnosis, Servers
from customer_profiles.processing.integrity.indices import rejected_documents
from customer_profiles.processing.metrics import DashboardMetrics
from customer_profiles.processing.rejected_counts import RejectedCounts
from customer_profiles.processing.state import ProfilesState
from customer_profiles.search.metrics_indices import EVENT_METRICS
from customer_profiles.search.metrics_indices import REJECTED_ROWS as REJECTED_INDEX


def repair_charts(servers: Servers, diagnosis: Diagnosis, state: ProfilesState) -> None:
    """Bring the indices of charts up to the lake. A failure is logged; the next run tries again."""
    if diagnosis.dead_letters:
        RejectedCounts(counts=RejectedCounts.load(servers.store).counts).save(servers.store)
    parts = (diagnosis.event_counts, diagnosis.rejected_rows, diagnosis.dead_letters)
    stale = any(parts) or not state.counted
    if not stale or diagnosis.live_index is None:
        return
    try:
        if diagnosis.event_counts:
            # Without the note of what was sent, everything is sent again. Documents that should
            # not be there go with the index.
            servers.metrics.delete(EVENT_METRICS)
            servers.store.delete(SENT_COUNTS)
        if diagnosis.rejected_rows:
            servers.metrics.delete(REJECTED_INDEX)
            servers.metrics.ensure()
            documents = rejected_documents(RejectedCounts.load(servers.store).counts)
            servers.metrics.index_documents(REJECTED_INDEX, documents.items())
    except PipelineError:
        return
    metrics = DashboardMetrics(servers.store, servers.index.config, servers.kafka)
    if metrics.update(range(servers.buckets), ()):
        replace(state, counted=True).save(servers.store)
