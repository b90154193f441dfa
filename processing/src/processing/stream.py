"""Profiles that follow the events: landing and profiling, kept running.

Every interval, what is new is landed as one micro-batch, and the customers in it are indexed at once
(`show_fresh`). The lake's profiles follow a few buckets at a time (`profile_bucket`), each bucket at
least every `SETTLE_S` seconds, so that no batch has to wait while all of them are written. Ended, the
stream brings everything up to its last batch; killed, the next run does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from processing.errors import ProcessError
from processing.lake import Lake
from processing.lease import lease
from processing.plan import Landed
from processing.report import Report, replace_json
from processing.run import STATE, Run, Say, profile_buckets, show_buckets
from processing.segments import Segments
from processing.session import Java, Progress
from processing.settings import Settings
from processing.tasks import BucketResult, Work
from processing.topic import held

SETTLE_S = 60.0
"""How far the lake's profiles may be behind the index, about."""
KEEP_STATE_S = 30.0
FRESH_EVENTS = 100_000
"""Above so many events in a batch the way by the lake's profiles is the faster one."""
REMEMBERED = 1_000
"""Batches in `stream-latest.json`."""


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """What one micro-batch was."""

    batch: int
    at: str
    """When its customers could be found in the index; ISO 8601, UTC."""
    events: int
    misfits: int
    customers: int
    seconds: float
    seconds_by_stage: dict[str, float]
    lag_events: int
    """Messages that were in the topic and in no batch when this one was done."""
    lag_seconds: float | None
    """From the first message of the batch being produced to its customer being found."""
    unsettled: int
    """Buckets whose profiles in the lake are behind."""
    error: str | None = None
    """Why the index is behind; it catches up."""


Tell = Callable[[MicroBatch], None]


def follow(
    settings: Settings,
    segments: Segments,
    java: Java,
    say: Say,
    progress: Progress,
    tell: Tell,
    stop: threading.Event,
) -> Report:
    """Follow the topic until `stop` is set.

    Args:
        settings: where the servers are, and the interval.
        segments: the rules.
        java: for Spark's driver.
        say: told each step of catching up.
        progress: told how far such a step is.
        tell: told every micro-batch.
        stop: ends the stream after the micro-batch that is being done.

    Returns:
        What was done in all, as `process` does.

    Raises:
        ProcessError: another stream runs, a server does not answer, or a step fails; everything that was
            done stays, and the next run goes on from there.
    """
    with ExitStack() as stack:
        lake = Lake(settings)
        lake.ensure()
        held_still = stack.enter_context(lease(lake, partial(Lake, settings)))
        follows = threading.Event()
        # The steps of one micro-batch are over before anybody has read them.
        quiet = lambda *told: None if follows.is_set() else progress(*told)  # noqa: E731
        run = Run(settings, segments, java, say, quiet, stack, alone=True)
        run.look(False)
        run.land()
        run.profile(False)
        run.spark()
        stream = _Stream(settings, run, tell)
        say(f"following raw_events every {settings.stream_interval_s:g} s; Ctrl-C ends it after the batch at hand")
        follows.set()
        # What is not awaited here cannot be interrupted: Ctrl-C sets `stop`.
        while not stop.is_set():
            began = time.monotonic()
            stream.step()
            if not held_still():
                raise ProcessError(
                    "Another stream has taken over, or the lake did not answer for long; this one has stopped.\n"
                    "Nothing is lost: `make status`, then `make stream` again."
                )
            stop.wait(max(0.0, began + settings.stream_interval_s - time.monotonic()))
        follows.clear()
        stream.end()
    return run.finish()


class _Stream:
    """What there is to know between two micro-batches."""

    def __init__(self, settings: Settings, run: Run, tell: Tell) -> None:
        self._settings = settings
        self._run = run
        self._tell = tell
        self._since: dict[int, int] = {}
        """Buckets whose profiles are behind, the longest behind first, and the first batch that they lack."""
        self._kept = time.monotonic()
        self._counted: set[int] = set()
        """Buckets whose events the dashboards have not seen yet."""
        self._done: list[MicroBatch] = []

    def step(self) -> None:
        """Do one micro-batch, if there is something new, and some of the buckets that are behind."""
        began = time.perf_counter()
        if self._run.shown is None:
            self._run.find_index()
        landed = self._run.land_next()
        land_s = time.perf_counter() - began
        customers, error = 0, None
        if landed:
            number, content = landed
            customers, error = self._show(number, content)
        shown, shown_s = datetime.now(UTC), time.perf_counter() - began
        error = self._settle() or error
        if time.monotonic() - self._kept > KEEP_STATE_S:
            self._keep_state()
        if not landed:
            return
        seconds = time.perf_counter() - began
        stages = {"land": land_s, "index": shown_s - land_s, "settle": seconds - shown_s}
        done = MicroBatch(
            batch=number,
            at=shown.isoformat(timespec="milliseconds"),
            events=content.events,
            misfits=content.misfits,
            customers=customers,
            seconds=round(seconds, 3),
            seconds_by_stage={name: round(value, 3) for name, value in stages.items()},
            lag_events=self._waiting(),
            lag_seconds=round(shown.timestamp() - content.oldest_ms / 1000, 3) if content.oldest_ms else None,
            unsettled=len(self._since),
            error=error,
        )
        self._done = [*self._done[-REMEMBERED + 1 :], done]
        self._run.chart_run("stream", asdict(done))
        self._tell(done)

    def end(self) -> None:
        """Bring everything up to the last message."""
        run = self._run
        if run.shown is None:
            run.find_index()
        run.land()
        run.profile(False)
        run.chart(self._counted)
        self.write()

    def _show(self, number: int, landed: Landed) -> tuple[int, str | None]:
        """Index the customers of a batch; how many there are, and why not."""
        run = self._run
        buckets = sorted(landed.events_by_bucket)
        for bucket in buckets:
            self._since.setdefault(bucket, number)
        if not buckets:
            return 0, None
        if run.shown is None:
            return 0, run.report.index_error
        if landed.events > FRESH_EVENTS:
            results = self._profile(sorted(self._since))
            customers, failed = sum(result.updated for result in results), _first_error(results)
        else:
            work = Work(number, run.segments, datetime.now(UTC), run.shown)
            customers, failed = show_buckets(run.spark(), self._settings, run.shown, buckets, work)
            run.report.profiles_indexed += customers
        if failed is None:
            run.index.refresh(run.shown)
        else:
            # It may have been deleted; what there is now is looked up with the next batch.
            run.shown = None
        return customers, failed

    def _settle(self) -> str | None:
        """Bring some buckets' profiles in the lake up to the last batch: those that wait for longest."""
        share = -(-self._settings.buckets * self._settings.stream_interval_s // SETTLE_S)
        waiting = list(self._since)[: max(1, int(share))]
        return _first_error(self._profile(waiting)) if waiting else None

    def _profile(self, buckets: list[int]) -> list[BucketResult]:
        run = self._run
        work = Work(run.plans.last_done, run.segments, datetime.now(UTC), run.shown)
        results = profile_buckets(run.spark(), self._settings, buckets, work)
        for result in results:
            since = self._since.pop(result.bucket, work.through)
            self._counted.add(result.bucket)
            run.state["buckets"][f"{result.bucket:02d}"] = result.totals
            run.report.profiles_updated += result.updated
            if result.index_error or run.shown is None:
                # At the end of the line: the lake is up to date, and the index is asked again later.
                self._since[result.bucket] = since
        return results

    def _keep_state(self) -> None:
        """Write down how far profiles and index are, so that a run after a crash begins there."""
        run = self._run
        through = min(self._since.values(), default=run.plans.last_done + 1) - 1
        run.state |= {"through_batch": through, "segments": run.segments.as_json()}
        if run.shown and not run.state["behind"] and run.state["index"] in (None, run.shown.key):
            run.state["index"] = run.shown.key
        run.lake.put_json(STATE, run.state)
        run.tidy(through)
        run.chart(self._counted)
        self._counted.clear()
        self.write()
        self._kept = time.monotonic()

    def _waiting(self) -> int:
        planned = self._run.plans.next_offsets()
        found = held(self._settings.bootstrap_servers)
        return sum(max(0, end - planned.get(partition, 0)) for partition, (_, end) in found.items())

    def write(self) -> Path:
        """Leave the last batches as `stream-latest.json`."""
        return replace_json(
            self._settings.reports / "stream-latest.json", {"batches": [asdict(done) for done in self._done]}
        )


def _first_error(results: list[BucketResult]) -> str | None:
    return next((result.index_error for result in results if result.index_error), None)
