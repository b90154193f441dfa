"""What dashboards show beside the profiles: events by time, runs and rejected rows.

`event_metrics` holds the lake's event counts, added up over all buckets.
`pipeline_runs` holds a document for each run or micro-batch.
`rejected_rows` holds the dead letters by source, reason and day.
The id of every document follows from its content, so writing it again changes nothing.
"""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import polars as pl

from customer_profiles.common.clock import moment_of
from customer_profiles.common.console import printable
from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.common.outage import Outage
from customer_profiles.contracts import DEAD_LETTERS, InvalidMessages, decode_dead_letter
from customer_profiles.kafka.admin import topic_state
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.reader import OffsetRange, read_range
from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.layout import event_counts_name
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.processing.background import Background
from customer_profiles.processing.rejected_counts import RejectedCounts, RowKey
from customer_profiles.processing.sent_counts import load_sent_counts, save_sent_counts
from customer_profiles.profiles.event_counts import (
    DIMENSIONS,
    METRIC_SCHEMA,
    add_counts,
    count_brands,
    reduce_brands,
    top_brands,
)
from customer_profiles.search.client import ElasticsearchConfig
from customer_profiles.search.metrics_indices import (
    EVENT_METRICS,
    MAPPINGS,
    PIPELINE_RUNS,
    REJECTED_ROWS,
    MetricsIndices,
    counts_to_ndjson,
)

logger = logging.getLogger(__name__)


class DashboardMetrics:
    """Keeps the dashboards' indices up to date.

    A failure here never stops a run. It is logged, and the next run makes up for it.
    """

    def __init__(self, store: ObjectStore, search: ElasticsearchConfig, kafka: KafkaConfig) -> None:
        self._store = store
        self._indices = MetricsIndices(search)
        self._kafka = kafka
        self.damaged: dict[int, str] = {}
        """Buckets whose event counts in the lake are damaged, and how."""
        self._buckets: dict[int, _BucketCounts] = {}
        self._preparation: Background[None] | None = None
        self._ready = False
        self._outages = {
            step: Outage(logger, "dashboards_behind") for step in ("update", "record_run")
        }

    def prepare_in_background(self) -> None:
        """Create missing indices and count rejected rows beside the main thread."""
        self._preparation = Background(self._prepare, "prepare-metrics")

    def update(self, buckets: Iterable[int], changed: Iterable[int]) -> bool:
        """Bring event counts and rejected rows up to date; return whether that worked.

        `buckets` are all buckets of the lake, `changed` those written since the last call.
        """
        with self._log_failures("update"):
            self._wait_until_ready()
            self._update_event_counts(buckets, changed)
            self._update_rejected_rows()
            return True
        return False

    def record_run(self, kind: str, numbers: Mapping[str, Any]) -> None:
        """Write one document about a run (`kind` process or rebuild) or a micro-batch (stream).

        Fields that `pipeline_runs` does not have, and those that are None, are left out.
        """
        with self._log_failures("record_run"):
            self._wait_until_ready()
            time = datetime.now(UTC).isoformat(timespec="milliseconds")
            fields = {
                name: numbers[name]
                for name in MAPPINGS[PIPELINE_RUNS]
                if numbers.get(name) is not None
            }
            document = {"time": time, "kind": kind, **fields}
            document_id = f"{kind} {document.get('batch', time)}"
            self._indices.index_documents(PIPELINE_RUNS, [(document_id, document)])

    @contextmanager
    def _log_failures(self, step: str) -> Iterator[None]:
        outage = self._outages[step]
        try:
            yield
            outage.works("the dashboards catch up")
        except PipelineError as error:
            outage.fails("The dashboards are behind: %s", first_line(error))

    def _prepare(self) -> None:
        self._indices.ensure()
        self._update_rejected_rows()

    def _wait_until_ready(self) -> None:
        preparation, self._preparation = self._preparation, None
        if preparation is not None:
            try:
                preparation.result()
                self._ready = True
            except PipelineError as error:
                # The caller repeats every step of the preparation and reports what still fails.
                logger.debug("preparing the dashboards' indices failed: %s", error)
        if not self._ready:
            self._indices.ensure()
            self._ready = True

    def _update_rejected_rows(self) -> None:
        """Count the dead letters that are new in the topic."""
        state = self._rejected_counts()
        offsets, counts = dict(state.next_offsets), Counter(state.counts)
        invalid = InvalidMessages(DEAD_LETTERS.name)
        topic = topic_state(self._kafka, DEAD_LETTERS)
        if None not in (state.topic_id, topic.topic_id) and state.topic_id != topic.topic_id:
            # It was made anew. Its letters are new ones; what was counted before stays counted.
            offsets = {}
        for partition, (first, end) in topic.watermarks.items():
            start = max(first, offsets.get(str(partition), 0))
            if start < end:
                counts.update(self._count_dead_letters(OffsetRange(partition, start, end), invalid))
            offsets[str(partition)] = end
        changed = {key: count for key, count in counts.items() if state.counts.get(key) != count}
        self._indices.index_documents(
            REJECTED_ROWS,
            [
                ("|".join(key), {"time": key[0], "source": key[1], "reason": key[2], "rows": count})
                for key, count in changed.items()
            ],
        )
        if changed or offsets != state.next_offsets or topic.topic_id != state.topic_id:
            # Written after the documents: a run that stops in between counts the same rows again,
            # into the same documents.
            RejectedCounts(offsets, dict(counts), topic.topic_id).save(self._store)
        if invalid.count:
            logger.warning("%s", printable(str(invalid)), extra={"event": "invalid_messages"})

    def _rejected_counts(self) -> RejectedCounts:
        """Return what is counted so far; nothing if the record is damaged."""
        try:
            return RejectedCounts.load(self._store)
        except DamagedObjectError as error:
            logger.warning(
                "The lake's counts of rejected rows were damaged; the topic is counted again: %s",
                first_line(error),
                extra={"event": "rejected_rows_damaged"},
            )
            return RejectedCounts()

    def _count_dead_letters(
        self, offset_range: OffsetRange, invalid: InvalidMessages
    ) -> Counter[RowKey]:
        """Count dead letters by day, source and reason, and what is none as `NO_DEAD_LETTER`."""
        counts: Counter[RowKey] = Counter()
        for batch in read_range(self._kafka, offset_range, DEAD_LETTERS):
            day = moment_of(batch.first_timestamp_ms).date().isoformat()
            for offset, value in zip(batch.offsets, batch.values, strict=True):
                letter, problem = decode_dead_letter(value, offset)
                if problem:
                    invalid.add(offset_range.partition, offset, problem)
                counts.update((day, letter.source, reason) for reason in letter.reasons)
        return counts

    def _update_event_counts(self, buckets: Iterable[int], changed: Iterable[int]) -> None:
        """Bring the index of event counts up to the lake."""
        for bucket in changed:
            self._buckets.pop(bucket, None)
        for bucket in buckets:
            if bucket not in self._buckets:
                try:
                    stored = self._store.get(event_counts_name(bucket))
                except DamagedObjectError as error:
                    self.damaged[bucket] = first_line(error)
                    raise
                # A version before event counts made the profiles of a bucket that has none.
                # The next rebuild counts its events.
                if stored is not None:
                    self._buckets[bucket] = _BucketCounts(stored.data)
        brands = top_brands(counts.brands for counts in self._buckets.values())
        counts = add_counts(bucket.reduced(brands) for bucket in self._buckets.values())
        uuid = self._indices.index_uuid(EVENT_METRICS)
        sent = load_sent_counts(self._store, uuid)
        new = counts.join(sent, on=list(METRIC_SCHEMA), how="anti")
        gone = sent.join(counts, on=DIMENSIONS, how="anti")
        if new.height or gone.height:
            # Mark rows as in flight, so that an interrupted run sends them again.
            in_flight = new.with_columns(pl.lit(None, pl.Int64).alias("events"))
            kept = pl.concat([sent.join(new, on=DIMENSIONS, how="anti"), in_flight])
            save_sent_counts(self._store, kept, uuid)
            self._indices.send(EVENT_METRICS, counts_to_ndjson(new))
            self._indices.send(EVENT_METRICS, counts_to_ndjson(gone, delete=True))
            save_sent_counts(self._store, counts, uuid)


class _BucketCounts:
    """One bucket's event counts, and what was derived from them."""

    def __init__(self, data: bytes) -> None:
        # The stored bytes take a tenth of the memory of columns.
        self._data = data
        columns = ["granularity", "brand", "events"]
        self.brands = count_brands(pl.read_parquet(io.BytesIO(data), columns=columns))
        self._reduced: tuple[tuple[str, ...], pl.DataFrame] | None = None

    def reduced(self, brands: tuple[str, ...]) -> pl.DataFrame:
        """Return the counts with all other brands as one."""
        if self._reduced is None or self._reduced[0] != brands:
            self._reduced = brands, reduce_brands(pl.read_parquet(io.BytesIO(self._data)), brands)
        return self._reduced[1]
