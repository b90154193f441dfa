"""What a repair would do, and what was lost: plain records. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from customer_profiles.lake.findings import Finding, Remedy
from customer_profiles.lake.layout import QUARANTINE
from customer_profiles.lake.offsets import OffsetSpan
from customer_profiles.processing.integrity.diagnosis import Diagnosis


@dataclass(frozen=True, slots=True)
class Loss:
    """Events that neither the lake nor the topic has any more."""

    bucket: int
    batches: tuple[int, int]
    events: int | None
    """How many; None if no record says it."""
    offsets: Mapping[int, OffsetSpan]
    """By partition, the offsets among which they were."""
    sources: tuple[str, ...]
    """The sources of the other events of these batches."""

    def __str__(self) -> str:
        """Return one line for people."""
        first, last = self.batches
        batches = f"batch {first}" if first == last else f"batches {first} to {last}"
        number = "an unknown number of" if self.events is None else f"{self.events:,}"
        spans = ", ".join(
            f"{start} to {end - 1} of partition {partition}"
            for partition, (start, end) in sorted(self.offsets.items())
        )
        offsets = f", offsets {spans}" if spans else ""
        return f"{number} events of bucket {self.bucket:02d}, {batches}{offsets}"

    def to_json(self) -> dict[str, Any]:
        """Return the loss for a report."""
        return {
            "bucket": self.bucket,
            "batches": list(self.batches),
            "events": self.events,
            "offsets": {str(partition): list(span) for partition, span in self.offsets.items()},
            "sources": list(self.sources),
        }


def plan_steps(diagnosis: Diagnosis) -> list[str]:
    """Return what a repair would do, one line each, in order."""
    steps = [
        f"bucket {bucket:02d}: write its event files again, from what is whole in the lake"
        + (" and from the topic" if diagnosis.topic.usable else "")
        for bucket in sorted(diagnosis.events)
    ]
    if diagnosis.log or diagnosis.events:
        steps.append(
            f"batch log: one checkpoint of batches 1 to {diagnosis.reach.last_batch} replaces it"
        )
    steps += [
        f"bucket {bucket:02d}: compute profiles and event counts again, from its events"
        for bucket in sorted(diagnosis.tables | diagnosis.events)
    ]
    if diagnosis.new_index:
        steps.append("index: fill another index from the lake, and let readers see it")
    elif diagnosis.documents:
        numbers = ", ".join(f"{bucket:02d}" for bucket in sorted(diagnosis.documents))
        steps.append(f"index: send the profiles of these buckets again: {numbers}")
    if diagnosis.state or steps:
        steps.append("state and manifest: write them again, from the objects")
    if diagnosis.statistics:
        steps.append("statistics of data quality: count the rows of lost micro-batches again")
    steps += [
        f"{name}: delete it; run `make quality` before `make process`, which then judges what waits"
        if name == QUARANTINE
        else f"{name}: delete it; the next run writes it again"
        for name in diagnosis.damaged_notes
    ]
    if diagnosis.dead_letters:
        steps.append("charts: count the dead letters from the beginning of their new topic")
    if diagnosis.event_counts:
        steps.append("charts: fill the index of event counts again")
    if diagnosis.rejected_rows:
        steps.append("charts: fill the index of rejected rows again")
    return steps


def mended_by_repair(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that name `make repair`."""
    return [finding for finding in findings if finding.remedy is Remedy.REPAIR]
