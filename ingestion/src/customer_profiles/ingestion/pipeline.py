"""One ingestion: an input into the topics, exactly once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime

import polars as pl

from customer_profiles.common.clock import now_utc
from customer_profiles.common.console import printable
from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import DEAD_LETTERS, PROGRESS, RAW_EVENTS, DeadLetter
from customer_profiles.ingestion.inputs import CsvInput
from customer_profiles.ingestion.lines import SHOWN_LENGTH
from customer_profiles.ingestion.options import DEFAULTS, Options
from customer_profiles.ingestion.prefetch import prefetch
from customer_profiles.ingestion.prepare import Batch, prepare_batches
from customer_profiles.ingestion.progress import Progress
from customer_profiles.ingestion.remedies import remedy_of
from customer_profiles.ingestion.report import IngestReport, StageTimes
from customer_profiles.ingestion.sources import Source
from customer_profiles.kafka.producer import Publisher

PREFETCHED_BATCHES = 2
"""One batch in reserve evens out preparing and sending. More would only take memory."""


def ingest(
    csv_input: CsvInput,
    source: Source,
    publisher: Publisher,
    on_batch: Callable[[IngestReport, int], None],
    options: Options = DEFAULTS,
    clock: Callable[[], datetime] = now_utc,
) -> IngestReport:
    """Send everything of a source that is not in the topics yet.

    The events, dead letters and progress record of a block are one transaction. A run that is
    killed has therefore sent whole blocks, and the next run resumes after them.

    Args:
        csv_input: the input, which is read here for the last time.
        source: the source of the input, as `identify_source` returns it.
        publisher: owns the source.
        on_batch: called after each transaction with the report so far and the bytes ingested.
        options: how the run treats rejected rows, duplicates and memory.
        clock: returns the current time.

    Raises:
        PipelineError: the input cannot be read, too many rows are rejected, or Kafka stops
            answering.
    """
    started = time.perf_counter()
    report = IngestReport(
        file=csv_input.label, source=source.name, invalid_records=source.invalid_records
    )
    totals = _resume(source, report)
    reasons, normalised = Counter[str](), Counter[str]()
    stage_times = StageTimes()
    batches = prepare_batches(csv_input, source, stage_times, options)
    # The next batches are prepared while Kafka takes the current one.
    with prefetch(batches, PREFETCHED_BATCHES) as ready:
        for batch in ready:
            totals.update(batch.counts)
            reasons.update(batch.reasons)
            _check_rejected(totals, reasons, batch, options.max_rejected_share)
            progress = _progress(source, batch, totals, clock())
            _send(publisher, batch, progress, stage_times)
            report.add(batch.counts)
            normalised.update(batch.normalised)
            if batch.completes_cut_line:
                report.completed_line = batch.first_row
            on_batch(report, batch.block.end)
    report.reasons = dict(reasons.most_common())
    report.normalised = {str(kind): count for kind, count in normalised.most_common()}
    report.finish(time.perf_counter() - started, stage_times)
    return report


def _resume(source: Source, report: IngestReport) -> Counter[str]:
    """Return the counts of earlier runs, and note them in the report."""
    totals = Counter(read=0, accepted=0, dead_lettered=0, duplicates=0)
    progress = source.progress
    if progress:
        report.already_ingested = progress.read
        report.already_ingested_at = progress.updated_at
        totals.update(
            read=progress.read,
            accepted=progress.accepted,
            dead_lettered=progress.dead_lettered,
            duplicates=progress.duplicates,
        )
    return totals


def _progress(source: Source, batch: Batch, totals: Counter[str], now: datetime) -> Progress:
    """Return the record that says the source is ingested up to the end of a batch."""
    return Progress(
        source=source.name,
        end=batch.block.end,
        digest=batch.block.digest,
        updated_at=now.isoformat(timespec="seconds"),
        topic_id=source.topic_id,
        **totals,
    )


def _check_rejected(
    totals: Counter[str], reasons: Counter[str], batch: Batch, max_rejected_share: float
) -> None:
    """Stop before a file that holds no events floods the dead letters."""
    if totals["dead_lettered"] <= max_rejected_share * totals["read"]:
        return
    counted = "\n".join(f"  {count:>9,}  {reason}" for reason, count in reasons.most_common())
    example = DeadLetter.from_json(batch.dead_letters[0]).text if batch.dead_letters else ""
    remedy = remedy_of(reasons.most_common(1)[0][0]) if reasons else ""
    raise PipelineError(
        f"{totals['dead_lettered']:,} of the first {totals['read']:,} rows would be rejected, "
        f"more than {100 * max_rejected_share:.4g} %; "
        "the run has stopped and these rows were not sent.\n"
        f"{counted}\nFor example: {printable(example, SHOWN_LENGTH)}\n{remedy}"
        "Correct the file, or accept more rejected rows: MAX_REJECTED_PERCENT=100 accepts all of "
        "them, and they become dead letters."
    )


def _send(publisher: Publisher, batch: Batch, progress: Progress, stage_times: StageTimes) -> None:
    """Send a batch in one transaction."""
    publisher.begin()
    try:
        with stage_times.timed("send"):
            publisher.send(RAW_EVENTS.name, batch.keys, batch.values)
            dead_letters = pl.Series(batch.dead_letters, dtype=pl.String)
            keys = pl.repeat(progress.source, len(dead_letters), eager=True)
            publisher.send(DEAD_LETTERS.name, keys, dead_letters)
            record = pl.Series([progress.to_json()])
            publisher.send(PROGRESS.name, pl.Series([progress.source]), record)
    except BaseException:
        publisher.abort()
        raise
    with stage_times.timed("commit"):
        publisher.commit()
