"""One run: everything new in the topic into the lake, the profiles and the index."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pyspark import SparkContext

from processing.errors import ProcessError
from processing.index import Index
from processing.lake import Lake
from processing.plan import Batch, Landed, Plans, next_ranges
from processing.report import Report
from processing.segments import Segments
from processing.session import spark_context
from processing.settings import Settings
from processing.tasks import MISFITS, BucketResult, land_bucket, profile_bucket, read_split
from processing.topic import held, send_dead_letters, splits

STATE = "_state/profiles.json"
SPLIT_EVENTS = 150_000
"""Messages that one task reads at the most."""

Say = Callable[[str], None]


def process(settings: Settings, segments: Segments, say: Say) -> Report:
    """Land what is new, then bring profiles and index up to it.

    Raises:
        ProcessError: a server does not answer, or a step fails; everything that was done stays, and
            the next run goes on from there.
    """
    clock = _Clock()
    report = Report()
    lake = Lake(settings)
    lake.ensure()
    index = Index(settings)
    index_name = index.ensure()
    plans = Plans(lake)
    _check_buckets(plans, settings)
    state = lake.get_json(STATE) or {"through_batch": 0, "index": index_name, "buckets": {}}
    clock.lap("look")

    with ExitStack() as stack:
        context: SparkContext | None = None

        def spark() -> SparkContext:
            nonlocal context
            if context is None:
                say(f"starting Spark on {settings.spark_master}")
                context = stack.enter_context(spark_context(settings, settings.reports / "process-spark.log"))
                clock.lap("start_spark")
            return context

        while (batch := _next_batch(plans, settings)) is not None:
            landed = _land(spark(), settings, batch)
            plans.mark_done(batch, landed)
            report.batches += 1
            report.events_landed += landed.events
            report.misfits += landed.misfits
            clock.lap("land")
            say(f"landed {landed.events:,} events in micro-batch {batch.number}")

        through = plans.last_done
        if through > state["through_batch"] or state["index"] != index_name or state.get("behind"):
            since = state["through_batch"] if state["index"] == index_name else 0
            due = sorted(plans.touched_since(since) | set(state.get("behind", [])))
            results = _profile(spark(), settings, due, through, index_name, segments)
            clock.lap("profile")
            for result in results:
                state["buckets"][f"{result.bucket:02d}"] = result.totals
            report.profiles_updated = sum(result.updated for result in results)
            report.profiles_indexed = sum(result.indexed for result in results)
            behind = [result.bucket for result in results if result.index_error]
            lake.put_json(STATE, {**state, "through_batch": through, "index": index_name, "behind": behind})
            if behind:
                raise ProcessError(next(result.index_error for result in results if result.index_error) or "")
            index.refresh()
            say(f"{report.profiles_updated:,} profiles updated, {report.profiles_indexed:,} indexed")
    report.add_totals(state["buckets"].values())
    clock.lap("finish")
    report.seconds, report.seconds_by_stage = clock.total(), clock.laps
    report.events_per_second = round(report.events_landed / report.seconds, 1)
    return report


def _check_buckets(plans: Plans, settings: Settings) -> None:
    chosen = plans.buckets()
    if chosen is not None and chosen != settings.buckets:
        raise ProcessError(
            f"This lake is cut into {chosen} buckets and BUCKETS is {settings.buckets}.\n"
            f"Set BUCKETS={chosen} in .env, or begin anew with `make clean`."
        )


def _next_batch(plans: Plans, settings: Settings) -> Batch | None:
    unfinished = plans.unfinished()
    if unfinished:
        return unfinished
    ranges = next_ranges(held(settings.bootstrap_servers), plans.next_offsets(), settings.batch_events)
    if all(begin == end for begin, end in ranges.values()):
        return None
    return plans.add(ranges, settings.buckets)


def _land(context: SparkContext, settings: Settings, batch: Batch) -> Landed:
    pieces = splits(dict(batch.ranges), SPLIT_EVENTS)
    buckets = settings.buckets
    # One partition more for the dead letters, which the driver publishes.
    parts = (
        context.parallelize(pieces, max(1, len(pieces)))
        .flatMap(partial(read_split, settings))
        .partitionBy(buckets + 1, lambda bucket: buckets if bucket == MISFITS else bucket)
    )

    def land(pairs: Any) -> Any:
        found: dict[int, list[bytes]] = {}
        for bucket, part in pairs:
            found.setdefault(bucket, []).append(part)
        for bucket, data in found.items():
            if bucket == MISFITS:
                yield MISFITS, [letter for part in data for letter in json.loads(part)]
            else:
                yield bucket, land_bucket(settings, batch.number, bucket, data)

    counts: dict[int, int] = {}
    letters: list[tuple[str, str]] = []
    for bucket, result in parts.mapPartitions(land).collect():
        if bucket == MISFITS:
            letters.extend((key, value) for key, value in result)
        else:
            counts[bucket] = result
    if letters:
        send_dead_letters(settings.bootstrap_servers, letters)
    return Landed(sum(counts.values()), len(letters), counts)


def _profile(
    context: SparkContext, settings: Settings, buckets: list[int], through: int, index: str, segments: Segments
) -> list[BucketResult]:
    now = datetime.now(UTC)
    task = partial(profile_bucket, settings, through=through, index=index, segments=segments, generated_at=now)
    return context.parallelize(buckets, max(1, len(buckets))).map(task).collect()


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self._began = self._last = time.perf_counter()
        self.laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.laps[stage] = round(self.laps.get(stage, 0.0) + now - self._last, 3)
        self._last = now

    def total(self) -> float:
        return round(time.perf_counter() - self._began, 3)
