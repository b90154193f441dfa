"""Jobs on the Spark cluster, watched while they run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from py4j.protocol import Py4JError
from pyspark import SparkContext, StatusTracker

from customer_profiles.common import defaults
from customer_profiles.common.errors import PipelineError
from customer_profiles.processing.settings import Settings
from customer_profiles.processing.spark.failures import no_worker_message, refused_message
from customer_profiles.processing.spark.interrupts import was_interrupted
from customer_profiles.processing.spark.master import missing_worker_cause, read_master
from customer_profiles.processing.spark.task_times import note_tasks
from customer_profiles.telemetry.traces import is_traced

POLL_S = 0.5
NOT_REGISTERED = "spark-application-"

Progress = Callable[[str, int, int], None]
"""Called with a step's name, its finished tasks and all of its tasks."""


class Cluster:
    """A Spark application: runs RDDs and reports a master or worker that is missing."""

    def __init__(self, context: SparkContext, settings: Settings, progress: Progress) -> None:
        self.context = context
        self.is_local = settings.spark_master.startswith("local")
        self.cores = context.defaultParallelism if self.is_local else settings.cores
        self._settings = settings
        self._progress = progress

    def run(self, rdd: Any, step: str, tasks: int) -> list[Any]:
        """Collect an RDD.

        Args:
            rdd: the RDD.
            step: its name for people.
            tasks: the number of its tasks, over all stages.

        Raises:
            PipelineError: the master does not answer, or no worker came in time.
            Py4JError: a task failed four times.
        """
        watchdog = _Watchdog(self, step, tasks)
        watchdog.start()
        began = time.monotonic()
        try:
            results = list(rdd.collect())
            if is_traced():
                note_tasks(self.context, step)
            return results
        except Py4JError as error:
            if was_interrupted(error):
                raise KeyboardInterrupt from error
            if not (watchdog.saw_worker.is_set() or self.has_worker()):
                # Spark itself gives up sooner on a master that does not answer.
                waited = time.monotonic() - began > self._settings.worker_wait_s
                raise PipelineError(self._no_worker_message(waited)) from error
            raise
        finally:
            watchdog.stop()

    def has_worker(self) -> bool:
        """Tell whether an executor is registered."""
        try:
            # The driver itself is a member, too.
            return self.is_local or self.context._jsc.sc().getExecutorMemoryStatus().size() > 1
        except (Py4JError, OSError):
            return False

    def report(self, step: str, tasks: int) -> None:
        """Pass on how many tasks of the active jobs are finished."""
        tracker = self.context.statusTracker()
        stages = [tracker.getStageInfo(stage) for stage in _active_stages(tracker)]
        self._progress(step, sum(stage.numCompletedTasks for stage in stages if stage), tasks)

    def _no_worker_message(self, waited: bool) -> str:
        master = self._settings.spark_master
        if waited:
            limit = self._settings.worker_wait_s
            return no_worker_message(master, limit, self._missing_worker_cause())
        # Spark makes an id of its own up for an application that no master took.
        refused = self.context.applicationId.startswith(NOT_REGISTERED)
        if refused and self._master_state():
            return refused_message(master)
        return no_worker_message(master, None)

    def _master_state(self) -> dict[str, Any] | None:
        ports = (self._settings.spark_ui_port, defaults.PORTS["SPARK_UI_PORT"])
        return read_master(self._settings.spark_master, ports)

    def _missing_worker_cause(self) -> str | None:
        """Ask the master why this application has no worker."""
        state = self._master_state()
        try:
            return missing_worker_cause(state, self.context.applicationId) if state else None
        except (KeyError, TypeError, Py4JError, OSError):
            # Another version of Spark describes itself differently.
            return None

    @property
    def worker_wait_s(self) -> int:
        """How long a job may be without a worker."""
        return self._settings.worker_wait_s


class _Watchdog:
    """Reports a job's progress; cancels a job without a worker, for which Spark waits forever."""

    def __init__(self, cluster: Cluster, step: str, tasks: int) -> None:
        self._cluster = cluster
        self._step, self._tasks = step, tasks
        self._done = threading.Event()
        self.saw_worker = threading.Event()
        """Set while a worker is there, or was a moment ago."""
        self._thread = threading.Thread(target=self._watch, name="spark-watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        last_seen = time.monotonic()
        while not self._done.wait(POLL_S):
            try:
                self._cluster.report(self._step, self._tasks)
                if self._cluster.has_worker():
                    self.saw_worker.set()
                    last_seen = time.monotonic()
                elif time.monotonic() - last_seen > self._cluster.worker_wait_s:
                    self.saw_worker.clear()
                    self._cluster.context.cancelAllJobs()
                    return
            except (Py4JError, OSError):
                # The job or Spark itself has ended. The thread that collects gets the error.
                return


def _active_stages(tracker: StatusTracker) -> Iterator[int]:
    for job in tracker.getActiveJobsIds():
        info = tracker.getJobInfo(job)
        yield from info.stageIds if info else ()
