"""The statistics of data quality: are all there and readable, and how are they counted again?

The statistics of a micro-batch follow from its events, its plan and its commit, so they are written
again exactly. Where a plan is gone, all older events are counted again as one sum, which no longer
knows when rows arrived and which came late. Statistics of customers are written with the profiles.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import polars as pl

from customer_profiles.lake import quality
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.checksums import THROUGH_BATCH
from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.events import EventPartition
from customer_profiles.lake.findings import Finding, Kind, Remedy
from customer_profiles.lake.layout import (
    QUALITY_FINDINGS_PREFIX,
    QUALITY_OPEN,
    QUALITY_PREFIX,
    QUALITY_THROUGH,
    profiles_name,
    quality_batch_name,
    quality_days_name,
)
from customer_profiles.lake.object_store import ObjectStore, StoredObject
from customer_profiles.lake.offsets import OffsetSpan
from customer_profiles.lake.parquet import to_parquet
from customer_profiles.processing.integrity.diagnosis import Diagnosis, Servers
from customer_profiles.processing.integrity.spans import inside
from customer_profiles.processing.stages.quality import save_statistics
from customer_profiles.quality.customers import CUSTOMER_SCHEMA
from customer_profiles.quality.findings import OpenFindings
from customer_profiles.quality.statistics import (
    ARRIVED,
    LATE,
    ROWS,
    STATISTICS_SCHEMA,
    add_up,
    summarise_rows,
)

UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError)
NO_STATISTICS = (
    "An older version made this lake, and kept no statistics of data quality. New micro-batches "
    "have them."
)


def check_statistics(servers: Servers, diagnosis: Diagnosis) -> Diagnosis:
    """Find statistics that are missing, damaged or older than what they belong to.

    All of them are read, because they are small. A lake without any is one of an older version.
    """
    objects = diagnosis.survey.objects
    names = {name for name in objects if name.startswith(QUALITY_PREFIX)}
    commits = diagnosis.survey.log.commits
    if not names:
        has_profiles = bool(diagnosis.survey.state and diagnosis.survey.state.totals)
        return diagnosis.with_note(NO_STATISTICS) if has_profiles else diagnosis
    reader = _Reader(servers.store)
    summed = reader.summed() if QUALITY_THROUGH in names else 0
    checkpointed = range(summed + 1, diagnosis.survey.log.checkpoint.through_batch + 1)
    missing: list[int] = []
    for number in sorted({*checkpointed, *(each for each in commits if each > summed)}):
        if quality_batch_name(number) not in names:
            missing.append(number)
        else:
            reader.batch(number, sum(commits[number].values()) if number in commits else None)
    tables = set(diagnosis.tables)
    for bucket in range(servers.buckets):
        if profiles_name(bucket) in objects and reader.days(bucket):
            tables.add(bucket)
    for name in sorted(names):
        if name == QUALITY_OPEN or name.startswith(QUALITY_FINDINGS_PREFIX):
            reader.kept(name)
    return diagnosis.with_findings(
        [*reader.findings, *_missing(missing)],
        statistics=frozenset({*reader.batches, *missing}),
        tables=frozenset(tables),
    )


def _missing(numbers: Iterable[int]) -> Iterator[Finding]:
    """Yield one finding for each row of consecutive micro-batches without statistics."""
    spans: list[tuple[int, int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1] = spans[-1][0], number
        else:
            spans.append((number, number))
    for span in spans:
        yield Finding(Kind.MISSING, quality_batch_name(span[0]), Remedy.REPAIR, batches=span)


class _Reader:
    """Reads the statistics, and remembers what is wrong with them."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.findings: list[Finding] = []
        self.batches: set[int] = set()
        """Micro-batches whose statistics have to be counted again; 0 stands for the sum."""

    def summed(self) -> int:
        """Return up to which micro-batch the sum of the older ones goes; 0 if it is damaged."""
        stored = self._read(QUALITY_THROUGH, STATISTICS_SCHEMA)
        if stored is None:
            self.batches.add(0)
            return 0
        return int(stored[0].attributes.get(THROUGH_BATCH, 0))

    def batch(self, number: int, events: int | None) -> None:
        """Read the statistics of a micro-batch, and compare their rows with its events."""
        name, span = quality_batch_name(number), (number, number)
        stored = self._read(name, STATISTICS_SCHEMA, batches=span)
        if stored is None:
            self.batches.add(number)
            return
        rows = int(stored[1].filter(pl.col("metric") == ROWS)["value"].sum())
        if events is not None and rows != events:
            detail = f"it counts {rows:,} rows"
            finding = Finding(
                Kind.DAMAGED, name, Remedy.REPAIR, detail, batches=span, events=events
            )
            self.findings.append(finding)
            self.batches.add(number)

    def days(self, bucket: int) -> bool:
        """Tell whether the statistics of a bucket's customers have to be counted again."""
        name = quality_days_name(bucket)
        stored = self._read(name, CUSTOMER_SCHEMA, bucket=bucket)
        if stored is None:
            return True
        profiles = self._store.head(profiles_name(bucket))
        through = int(stored[0].attributes.get(THROUGH_BATCH, 0))
        if profiles is None or through >= int(profiles.attributes.get(THROUGH_BATCH, 0)):
            return False
        self.findings.append(Finding(Kind.OLDER, name, Remedy.REPAIR, bucket=bucket))
        return True

    def kept(self, name: str) -> None:
        """Read what an evaluation has kept; the next one writes it again."""
        try:
            if name == QUALITY_OPEN:
                self._store.get_record(name, OpenFindings.from_json)
            else:
                self._store.get_json(name)
        except DamagedObjectError as error:
            self.findings.append(Finding.of_damage(error, Remedy.QUALITY))

    def _read(
        self, name: str, schema: Mapping[str, pl.DataType], **facts: Any
    ) -> tuple[StoredObject, pl.DataFrame] | None:
        try:
            stored = self._store.get(name)
            if stored is None:
                self.findings.append(Finding(Kind.MISSING, name, Remedy.REPAIR, **facts))
                return None
            return stored, pl.read_parquet(io.BytesIO(stored.data)).select(list(schema))
        except DamagedObjectError as error:
            self.findings.append(Finding.of_damage(error, Remedy.REPAIR, **facts))
        except UNREADABLE as error:
            detail = f"it cannot be read ({type(error).__name__})"
            self.findings.append(Finding(Kind.DAMAGED, name, Remedy.REPAIR, detail, **facts))
        return None


def repair_statistics(servers: Servers, diagnosis: Diagnosis) -> None:
    """Count the rows of micro-batches again whose statistics are lost."""
    if not diagnosis.statistics:
        return
    store, log, plans = servers.store, BatchLog(servers.store), diagnosis.survey.log.known_plans
    exact = {
        number
        for number in diagnosis.statistics
        if diagnosis.survey.one_topic and number in plans and number in log.committed
    }
    if diagnosis.statistics - exact:
        # A sum without the batches that wait: a run still has to judge those one by one.
        last = diagnosis.last_profiled
        counted = list(_count(servers, last))
        known = [
            each.filter(pl.col("metric").is_in([LATE, ARRIVED]))
            for each in quality.read_statistics(store, last, ()).rows
        ]
        quality.write_sum(store, last, add_up([*counted, *known]))
        exact = {number for number in exact if number > last}
    # Each one needs the watermark of the one before.
    for number in sorted(exact):
        rows = _count(servers, log.last_committed, plans[number].ranges)
        parts = [to_parquet(part) for part in rows]
        save_statistics(store, number, parts, log.commit_record(number).oldest_ms)


def _count(
    servers: Servers, last_batch: int, spans: Mapping[int, OffsetSpan] | None = None
) -> Iterator[pl.DataFrame]:
    """Yield the statistics of stored events by file; of some offsets only, if there are spans."""
    for bucket in range(servers.buckets):
        for file in EventPartition(servers.store, bucket).live_files(last_batch):
            stored = servers.store.get(file.name)
            if stored is None:
                continue
            events = pl.read_parquet(io.BytesIO(stored.data))
            if spans is not None:
                events = events.filter(inside(events, spans))
            yield summarise_rows(events)
