"""One run: everything new in the topic into the lake, the profiles and the index."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

from processing.charts import Charts
from processing.errors import ProcessError
from processing.index import ALIAS, Index, IndexAway, Target
from processing.lake import Lake
from processing.lease import find_holder
from processing.plan import Batch, Landed, Plans, next_ranges
from processing.report import Report
from processing.segments import Segments
from processing.session import Cluster, Java, Progress, cluster
from processing.settings import Settings
from processing.tasks import NOTES, BucketResult, Work, land_bucket, profile_bucket, read_split, show_fresh
from processing.topic import held, send_dead_letters, splits, unsent

STATE = "_state/profiles.json"
"""How far the profiles are, with which rules, and what they add up to by bucket."""
REBUILDING = "_state/rebuilding.json"
"""There while a rebuild runs, and after one that did not reach its end."""
SPLIT_EVENTS = 150_000
"""Messages that one task reads at the most."""
MOST_BATCHES = 100
"""So many micro-batches have objects of their own in the lake before they are summed up."""

Say = Callable[[str], None]


def process(
    settings: Settings, segments: Segments, java: Java, say: Say, progress: Progress, *, rebuild: bool = False
) -> Report:
    """Land what is new, then bring profiles and index up to it.

    Args:
        settings: where the servers are.
        segments: the rules.
        java: for Spark's driver.
        say: told each step that is done.
        progress: told how far a step is.
        rebuild: compute all profiles anew, fill a new index with them and then show that.

    Returns:
        What was done. Where the index could not be brought up to the lake, `index_error` says why.

    Raises:
        ProcessError: Kafka, MinIO or Spark does not answer, or a step fails; everything that was done
            stays, and the next run goes on from there.
    """
    with ExitStack() as stack, ThreadPoolExecutor(1) as aside:
        run = Run(settings, segments, java, say, progress, stack)
        run.look(rebuild)
        run.land()
        # Spark takes a second to end, and nothing that follows needs it.
        run.profile(rebuild, lambda: aside.submit(stack.close))
        report = run.finish()
        if report.batches or report.profiles_updated or report.profiles_indexed:
            numbers = {"events": report.events_landed, "customers": report.profiles_updated, "misfits": report.misfits}
            run.chart_run("rebuild" if rebuild else "process", {**numbers, "seconds": report.seconds})
    return report


class Run:
    """One run, step by step."""

    def __init__(
        self,
        settings: Settings,
        segments: Segments,
        java: Java,
        say: Say,
        progress: Progress,
        stack: ExitStack,
        *,
        alone: bool = False,
    ) -> None:
        """`alone`: the run holds the lease of streams itself."""
        self._alone = alone
        self._settings = settings
        self.segments = segments
        self._java = java
        self.say = say
        self._progress = progress
        self._stack = stack
        self._cluster: Cluster | None = None
        self._charts: Charts | None = None
        self._charts_held = threading.Lock()
        """They are prepared aside."""
        self._clock = _Clock()
        self.report = Report()
        self.lake = Lake(settings)
        self.index = Index(settings)
        self.shown: Target | None = None
        """The index that readers see; None while Elasticsearch does not answer."""

    def look(self, rebuild: bool) -> None:
        """See how far everything is."""
        self.lake.ensure()
        if holder := None if self._alone else find_holder(self.lake):
            raise ProcessError(
                f"A stream runs on {holder} and does all of this already: `make summary` shows where it is.\n"
                "Where you want to do it by hand, end the stream first (Ctrl-C where it runs)."
            )
        self.find_index(required=rebuild)
        if self.shown is None:
            self.say("Elasticsearch does not answer; the lake goes on, and the index catches up later")
        self.plans = Plans(self.lake)
        _check_buckets(self.plans, self._settings)
        self.state = self.lake.get_json(STATE) or {"through_batch": 0, "index": None, "behind": [], "buckets": {}}
        _check_segments(self.state, self.segments)
        if not rebuild and self.lake.get_json(REBUILDING):
            self.say("A rebuild did not reach its end, so index and lake may differ: run `make rebuild`")
        self._clock.lap("look")

    def find_index(self, *, required: bool = False) -> None:
        """See which index readers see; where nobody answers there is none, and `index_error` says why.

        Raises:
            IndexAway: nobody answers, and the index is required.
        """
        try:
            self.shown, self.report.index_error = self.index.ensure(), None
        except IndexAway as error:
            if required:
                raise
            self.report.index_error = str(error)

    def land(self) -> None:
        """Land micro-batches until nothing is left."""
        while (done := self.land_next()) is not None:
            number, landed = done
            self.say(f"landed {landed.events:,} events in micro-batch {number}")

    def land_next(self) -> tuple[int, Landed] | None:
        """Land one micro-batch; its number and what it brought, None where nothing is left."""
        found = _next_batch(self.plans, self._settings)
        if found is None:
            return None
        batch, again = found
        landed = _land(self.spark(), self._settings, batch, again)
        self.plans.mark_done(batch, landed)
        self.report.batches += 1
        self.report.events_landed += landed.events
        self.report.misfits += landed.misfits
        self._clock.lap("land")
        return batch.number, landed

    def profile(self, rebuild: bool, after_spark: Callable[[], object] = lambda: None) -> None:
        """Bring profiles and index up to what has landed; on a rebuild, show the new index.

        `after_spark` is called when no more of this is done by Spark.
        """
        through = self.plans.last_done
        target = self.shown
        if rebuild and through:
            self.lake.put_json(REBUILDING, {"since": datetime.now(UTC).isoformat(timespec="seconds")})
            target = self.index.create()
        due = _due(self.plans, self.state, target, rebuild)
        if not due:
            # A run that was killed between the two left them behind.
            if target and not self.state.get("charted", True):
                self.chart([])
            return
        work = Work(through, self.segments, datetime.now(UTC), target, rebuild)
        results = profile_buckets(self.spark(), self._settings, sorted(due), work)
        self._clock.lap("profile")
        after_spark()
        failures = {result.bucket: result.index_error for result in results if result.index_error}
        report, state = self.report, self.state
        report.index_error = next(iter(failures.values()), report.index_error)
        updated = sum(result.updated for result in results)
        report.profiles_updated += updated
        indexed = sum(result.indexed for result in results)
        report.profiles_indexed += indexed
        report.objects_joined += sum(result.joined for result in results)
        state |= {"through_batch": through, "segments": self.segments.as_json(), "charted": False}
        state["buckets"] |= {f"{result.bucket:02d}": result.totals for result in results}
        if target is None:
            state["behind"] = sorted(due | set(state["behind"]))
        elif not rebuild:
            state |= {"index": target.key, "behind": sorted(failures)}
        self.lake.put_json(STATE, state)
        self.tidy(0 if target is None else through)
        self.say(f"{updated:,} profiles updated, {indexed:,} indexed")
        if target:
            self.index.refresh(target)
            if rebuild and not failures:
                self._show(target)
            self._clock.lap("show")
        self.chart(result.bucket for result in results)
        self._clock.lap("chart")

    def chart(self, changed: Iterable[int]) -> None:
        """Bring the indices of dashboards up to the lake; where that fails, the next run does it."""
        with self._charting() as charts:
            if charts:
                charts.update_metrics(range(self._settings.buckets), changed)
                charts.update_rejected()
                self.state["charted"] = True
                self.lake.put_json(STATE, self.state)

    def chart_run(self, kind: str, numbers: Mapping[str, Any]) -> None:
        """Leave one document about a run or a micro-batch for the dashboards."""
        with self._charting() as charts:
            if charts:
                charts.add_run(datetime.now(UTC), kind, numbers)

    def _prepare_charts(self) -> None:
        """Do what dashboards need and profiles do not; what fails is done, or told, with the charts themselves."""
        with suppress(Exception), self._charts_held:
            if charts := self._find_charts():
                charts.update_rejected()

    def _find_charts(self) -> Charts | None:
        """The indices of dashboards, made where they are missing; None while Elasticsearch does not answer."""
        if self._charts is None and self.shown:
            charts = Charts(self.lake, self.index, self._settings.bootstrap_servers)
            charts.ensure()
            self._charts = charts
        return self._charts

    @contextmanager
    def _charting(self) -> Iterator[Charts | None]:
        """What fails for the dashboards alone is told, and stops nothing."""
        try:
            with self._charts_held:
                yield self._find_charts()
        except ProcessError as error:
            self.say(f"The dashboards are behind: {str(error).splitlines()[0]}")

    def tidy(self, through: int) -> None:
        """Sum up micro-batches that profiles and index have, once there are many."""
        if len(self.plans) > MOST_BATCHES:
            self.plans.sum_up(through)

    def finish(self) -> Report:
        """What was done, and what all profiles add up to."""
        self.report.add_totals(self.state["buckets"].values(), self.segments.version)
        self._clock.lap("finish")
        self.report.seconds, self.report.seconds_by_stage = self._clock.total(), self._clock.laps
        self.report.events_per_second = round(self.report.events_landed / self.report.seconds, 1)
        return self.report

    def spark(self) -> Cluster:
        if self._cluster is None:
            self.say(f"starting Spark on {self._settings.spark_master}")
            # While Spark starts, half of the machine has nothing to do.
            threading.Thread(target=self._prepare_charts, daemon=True).start()
            self._cluster = self._stack.enter_context(cluster(self._settings, self._java, self._progress))
            self._clock.lap("start_spark")
        return self._cluster

    def _show(self, target: Target) -> None:
        customers = sum(totals["customers"] for totals in self.state["buckets"].values())
        found = self.index.count(target)
        if found != customers:
            raise ProcessError(
                f"The new index has {found:,} profiles and the lake {customers:,}; readers still see the old one.\n"
                "Did another run write at the same time? Run `make rebuild` again."
            )
        for name in self.index.show(target):
            for marker in self.lake.sizes(f"_state/indexed/{name}."):
                self.lake.remove(marker)
        self.state |= {"index": target.key, "behind": []}
        self.lake.put_json(STATE, self.state)
        self.lake.remove(REBUILDING)
        self.say(f"readers of {ALIAS} now see {target.name}")


def _check_buckets(plans: Plans, settings: Settings) -> None:
    chosen = plans.buckets()
    if chosen is not None and chosen != settings.buckets:
        raise ProcessError(
            f"This lake is cut into {chosen} buckets and BUCKETS is {settings.buckets}.\n"
            f"Set BUCKETS={chosen} in .env, or begin anew with `make clean`."
        )


def _check_segments(state: dict[str, Any], segments: Segments) -> None:
    known = state.get("segments")
    if known and known["version"] == segments.version and known != segments.as_json():
        raise ProcessError(
            f"The segments have changed and their version is still {segments.version}, which many profiles carry.\n"
            "Raise `version` in the file of segments, then run `make rebuild`."
        )


def _next_batch(plans: Plans, settings: Settings) -> tuple[Batch, bool] | None:
    """The batch to land, and whether an earlier run has tried."""
    unfinished = plans.unfinished()
    if unfinished:
        return unfinished, True
    ranges = next_ranges(held(settings.bootstrap_servers), plans.next_offsets(), settings.batch_events)
    if all(begin == end for begin, end in ranges.values()):
        return None
    return plans.add(ranges, settings.buckets), False


def _due(plans: Plans, state: dict[str, Any], target: Target | None, rebuild: bool) -> set[int]:
    """The buckets that have something to do."""
    if rebuild or (target and state["index"] != target.key):
        return plans.touched_since(0)
    behind = set(state["behind"]) if target else set()
    return plans.touched_since(state["through_batch"]) | behind


def _land(spark: Cluster, settings: Settings, batch: Batch, again: bool) -> Landed:
    pieces = splits(dict(batch.ranges), SPLIT_EVENTS)
    groups = min(settings.buckets, 2 * spark.cores)
    parts = (
        spark.context.parallelize(pieces, max(1, len(pieces)))
        .flatMap(partial(read_split, settings))
        # Notes travel with the first group to the driver, which publishes the dead letters in them.
        .partitionBy(groups, lambda bucket: 0 if bucket == NOTES else bucket % groups)
    )

    def land(pairs: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, Any]]:
        found: dict[int, list[bytes]] = {}
        for bucket, part in pairs:
            found.setdefault(bucket, []).append(part)
        for text in found.pop(NOTES, []):
            yield NOTES, json.loads(text)
        lake = Lake(settings)
        for bucket, data in found.items():
            yield bucket, land_bucket(lake, batch.number, bucket, data)

    counts: dict[int, int] = {}
    letters: list[tuple[str, str]] = []
    oldest: list[int] = []
    for bucket, result in spark.run(parts.mapPartitions(land), f"micro-batch {batch.number}", len(pieces) + groups):
        if bucket == NOTES:
            letters.extend((key, value) for key, value in result["letters"])
            oldest.extend([result["oldest_ms"]] if result["oldest_ms"] else [])
        else:
            counts[bucket] = result
    if letters:
        servers = settings.bootstrap_servers
        send_dead_letters(servers, unsent(servers, letters) if again else letters)
    return Landed(sum(counts.values()), len(letters), counts, min(oldest, default=None))


def profile_buckets(spark: Cluster, settings: Settings, buckets: list[int], work: Work) -> list[BucketResult]:
    """`profile_bucket` for some buckets on the cluster."""
    groups = min(len(buckets), 4 * spark.cores)

    def profile(numbers: Iterable[int]) -> Iterator[BucketResult]:
        lake = Lake(settings)
        index = Index(settings) if work.target else None
        for bucket in numbers:
            yield profile_bucket(lake, index, bucket, work)

    tasks = spark.context.parallelize(buckets, groups).mapPartitions(profile)
    return cast("list[BucketResult]", spark.run(tasks, "profiles", groups))


def show_buckets(
    spark: Cluster, settings: Settings, target: Target, buckets: list[int], work: Work
) -> tuple[int, str | None]:
    """`show_fresh` for some buckets on the cluster: how many customers were indexed, and what was refused."""
    groups = min(len(buckets), spark.cores)

    def show(numbers: Iterable[int]) -> Iterator[tuple[int, str | None]]:
        yield show_fresh(Lake(settings), Index(settings), target, list(numbers), work)

    tasks = spark.context.parallelize(buckets, groups).mapPartitions(show)
    results = cast("list[tuple[int, str | None]]", spark.run(tasks, "index", groups))
    return sum(count for count, _ in results), next((error for _, error in results if error), None)


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
