"""Land exposures: from the topic into the lake, each message exactly once, without Spark.

The offsets of a batch are planned before they are read. A run that is killed leaves its plan, and
the next run lands the same offsets into the same objects. The files count from the moment when the
plan becomes a commit, which is one conditional write.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import polars as pl

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import EXPOSURES, bucket_of
from customer_profiles.contracts.dead_letters import DeadLetter
from customer_profiles.contracts.exposure import (
    Exposure,
    InvalidExposureError,
    decode_exposure,
)
from customer_profiles.experimentation.landing_types import (
    ExposureTopic,
    LandingReport,
    Messages,
)
from customer_profiles.lake.errors import WriteConflictError
from customer_profiles.lake.exposures import (
    STORED_EXPOSURES,
    ExposureCounts,
    ExposureLake,
    ExposureLog,
    ExposurePlan,
)
from customer_profiles.lake.offsets import OffsetSpan, next_offset_ranges, removed_offsets
from customer_profiles.lake.runs import describe_run, is_other_running, this_run

__all__ = ["ExposureTopic", "LandingReport", "Messages", "land", "to_frame"]

BATCH_MESSAGES = 500_000
"""Messages of one batch: they are in memory at once, about 300 MB."""
EXAMPLES = 3
"""Dead letters that a report shows."""


def land(
    lake: ExposureLake,
    topic: ExposureTopic,
    buckets: int,
    *,
    batch_messages: int = BATCH_MESSAGES,
    progress: Callable[[int, int], None] = lambda _landed, _total: None,
) -> LandingReport:
    """Land everything that is in the topic as the run starts.

    Args:
        lake: the stored exposures.
        topic: the topic.
        buckets: of a lake without exposures; a lake that has some keeps its number.
        batch_messages: most offsets of one batch.
        progress: called with the messages that are landed and with all of them.

    Raises:
        WriteConflictError: another run lands exposures. Nothing is lost.
        PipelineError: a server does not answer, or the counts do not add up.
    """
    report = LandingReport()
    log, etag = lake.read_log(buckets)
    topic_id, watermarks = topic.state()
    resumed = log.plan is not None
    _refuse_other_run(log)
    log = _follow_topic(lake, log, topic_id, report)
    total = sum(
        max(0, high - log.next_offsets.get(partition, 0))
        for partition, (_, high) in watermarks.items()
    )
    done = 0
    while planned := _plan(log, topic_id, watermarks, batch_messages, report):
        etag = lake.write_log(planned, etag)
        counts = _land_batch(lake, topic, planned, report, resumed=resumed)
        if not counts.add_up:
            raise PipelineError(f"The exposures do not add up: {counts}. This is a fault.")
        log = planned.committed(counts)
        etag = lake.write_log(log, etag)
        report.counts += counts
        report.batches += 1
        resumed = False
        done += counts.read
        progress(done, total)
    report.total = log.counts
    return report


def _refuse_other_run(log: ExposureLog) -> None:
    if log.plan and is_other_running(log.plan.planned_by):
        raise WriteConflictError(
            f"Another run ({describe_run(log.plan.planned_by)}) lands exposures; this one has "
            "stopped and nothing is lost.\nRun `make exposures` again when the other has ended."
        )


def _follow_topic(
    lake: ExposureLake, log: ExposureLog, topic_id: str | None, report: LandingReport
) -> ExposureLog:
    """Start a topic that was made anew at its beginning."""
    known = log.plan.topic_id if log.plan else log.topic_id
    if known is None or known == topic_id:
        return log
    report.new_topic = True
    lost = 0
    if log.plan:
        # Nobody can read the rest of this batch any more.
        lake.delete_batch(log.batch + 1)
        lost = sum(end - start for start, end in log.plan.ranges.values())
    report.lost += lost
    return replace(log, next_offsets={}, topic_id=topic_id, plan=None, lost=log.lost + lost)


def _plan(
    log: ExposureLog,
    topic_id: str | None,
    watermarks: dict[int, OffsetSpan],
    batch_messages: int,
    report: LandingReport,
) -> ExposureLog | None:
    """Return the log with the plan of the next batch; None if there is nothing new."""
    run = this_run()
    if log.plan:
        # An earlier run did not finish this batch. Its offsets stay as they are.
        return replace(log, plan=replace(log.plan, planned_by=run))
    lost = sum(end - start for start, end in removed_offsets(watermarks, log.next_offsets).values())
    ranges = next_offset_ranges(watermarks, log.next_offsets, batch_messages)
    if not any(end > start for start, end in ranges.values()):
        return None
    report.lost += lost
    return replace(log, lost=log.lost + lost, plan=ExposurePlan(ranges, topic_id, run))


def _land_batch(
    lake: ExposureLake,
    topic: ExposureTopic,
    log: ExposureLog,
    report: LandingReport,
    *,
    resumed: bool,
) -> ExposureCounts:
    """Write the files and the dead letters of the planned batch."""
    plan, batch = log.plan, log.batch + 1
    if plan is None:
        raise ValueError("no batch is planned")
    rows: list[tuple[Any, ...]] = []
    letters: list[tuple[str, str]] = []
    read = 0
    for partition, (start, end) in plan.ranges.items():
        if start == end:
            continue
        for messages in topic.read(partition, start, end):
            read += len(messages.offsets)
            for offset, value in zip(messages.offsets, messages.values, strict=True):
                try:
                    rows.append(_row(decode_exposure(value), partition, offset))
                except InvalidExposureError as error:
                    letters.append(_letter(error, value, partition, offset, report))
    if letters:
        topic.publish_dead_letters(letters, again=resumed)
    accepted = _write_buckets(lake, log.buckets, batch, to_frame(rows))
    return ExposureCounts(read, accepted, len(letters), len(rows) - accepted)


def to_frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    """Return rows, with their times as ISO 8601, as `STORED_EXPOSURES`."""
    schema = {**STORED_EXPOSURES, "exposed_at": pl.String}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.with_columns(
        pl.col("exposed_at").str.to_datetime(
            "%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC"
        )
    )


def _write_buckets(lake: ExposureLake, buckets: int, batch: int, exposures: pl.DataFrame) -> int:
    """Write the new exposures of each bucket; return how many there are."""
    exposures = exposures.sort("kafka_partition", "kafka_offset").unique(
        "exposure_id", keep="first", maintain_order=True
    )
    users = exposures["user_id"].unique()
    numbers = pl.Series("bucket", [bucket_of(user, buckets) for user in users], dtype=pl.Int64)
    of_user = pl.DataFrame([users, numbers])
    accepted = 0
    for (bucket,), part in exposures.join(of_user, on="user_id").group_by("bucket"):
        number = int(bucket)
        known = lake.exposure_ids(number, batch).to_frame()
        new = part.join(known, on="exposure_id", how="anti")
        if new.height:
            lake.write(number, batch, new)
            accepted += new.height
    return accepted


def _row(exposure: Exposure, partition: int, offset: int) -> tuple[Any, ...]:
    return (
        exposure.exposure_id,
        exposure.experiment,
        exposure.variant,
        exposure.user_id,
        exposure.exposed_at,
        partition,
        offset,
    )


def _letter(
    error: InvalidExposureError,
    value: bytes | None,
    partition: int,
    offset: int,
    report: LandingReport,
) -> tuple[str, str]:
    """Return the key and the JSON of a dead letter, and count it in the report."""
    report.reasons.update(str(reason) for reason in error.reasons)
    if len(report.examples) < EXAMPLES:
        report.examples.append(f"{partition}/{offset}: {error}")
    source = f"{EXPOSURES.name}/{partition}"
    text = (value or b"").decode(errors="backslashreplace")
    reasons = [str(reason) for reason in error.reasons]
    letter = DeadLetter(source, offset, reasons, text, detail=str(error))
    return f"{source}/{offset}", letter.to_json()
