"""The check of the dashboards' indices, document by document."""

from __future__ import annotations

from collections.abc import Iterator

from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.lake.layout import EVENT_COUNTS_PREFIX
from customer_profiles.processing.integrity.diagnosis import Diagnosis, Servers
from customer_profiles.processing.integrity.indices import (
    AllCounts,
    check_contents,
    rejected_documents,
)
from customer_profiles.processing.integrity.verify import pending
from customer_profiles.search.metrics_indices import EVENT_METRICS
from customer_profiles.search.metrics_indices import REJECTED_ROWS as REJECTED_INDEX


def check_chart_contents(servers: Servers, diagnosis: Diagnosis, counts: AllCounts) -> Diagnosis:
    """Compare the dashboards' indices with the event counts of all buckets.

    Args:
        servers: the clients.
        diagnosis: what was found before.
        counts: the event counts of all buckets.
    """
    survey = diagnosis.survey
    # Where counts are to be computed again, the index follows them.
    if diagnosis.tables or pending(diagnosis) or not (survey.state and survey.state.counted):
        return diagnosis
    try:
        if any(name.startswith(EVENT_COUNTS_PREFIX) for name in survey.objects):
            found = check_contents(
                f"index {EVENT_METRICS}", counts.documents(), _pairs(servers, EVENT_METRICS)
            )
            diagnosis = diagnosis.with_findings(
                found, event_counts=diagnosis.event_counts or bool(found)
            )
        if survey.rejected is not None:
            expected = rejected_documents(survey.rejected.counts)
            found = check_contents(
                f"index {REJECTED_INDEX}", expected, _pairs(servers, REJECTED_INDEX)
            )
            diagnosis = diagnosis.with_findings(
                found, rejected_rows=diagnosis.rejected_rows or bool(found)
            )
    except PipelineError as error:
        return diagnosis.with_note(f"The charts were not compared: {first_line(error)}")
    return diagnosis


def _pairs(servers: Servers, index: str) -> Iterator[tuple[str, dict[str, object]]]:
    if servers.contents.sums(index, []) is None:
        return
    for key, _, content in servers.contents.scan(index):
        yield key, dict(content)
