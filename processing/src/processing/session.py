"""The connection to the Spark cluster, and what is watched while it works."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark import SparkConf, SparkContext, StatusTracker
from pyspark.java_gateway import launch_gateway

from processing.errors import ProcessError
from processing.settings import Settings

END_S = 15.0
WATCH_S = 0.5
JAVA_OPTIONS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"

Progress = Callable[[str, int, int], None]
"""Told what is being done, and how many of how many tasks are."""


class Cluster:
    """A Spark application for the time of one run."""

    def __init__(self, context: SparkContext, settings: Settings, progress: Progress) -> None:
        self.context = context
        self.is_local = settings.spark_master.startswith("local")
        self.cores = context.defaultParallelism if self.is_local else settings.cores
        self._settings = settings
        self._progress = progress

    def run(self, tasks: Any, what: str, count: int) -> list[Any]:
        """Collect the results of an RDD.

        Args:
            tasks: the RDD.
            what: it does, for people.
            count: its tasks, those of all stages.

        Raises:
            ProcessError: no worker was there for as long as a run waits for one.
            Py4JError: a task failed four times.
        """
        began, done, reached = time.monotonic(), threading.Event(), threading.Event()
        watch = threading.Thread(target=self._watch, args=(what, count, done, reached), daemon=True)
        watch.start()
        try:
            return list(tasks.collect())
        except Py4JError as error:
            if _was_interrupted(error):
                raise KeyboardInterrupt from error
            if not (reached.is_set() or self._has_worker()):
                # Spark itself gives up earlier on a master that does not answer.
                waited = time.monotonic() - began > self._settings.worker_wait_s
                words = (
                    f"had no worker for this run in {self._settings.worker_wait_s} s" if waited else "does not answer"
                )
                raise ProcessError(
                    f"The Spark master {self._settings.spark_master} {words}.\n"
                    "`make status` shows whether master and worker run, and `make up` starts them. Where they run, the "
                    "worker has less free memory than SPARK_EXECUTOR_MEMORY. Then run the command again: it goes on "
                    "from here."
                ) from error
            raise
        finally:
            done.set()
            watch.join()

    def _watch(self, what: str, count: int, done: threading.Event, reached: threading.Event) -> None:
        """Tell how far a job is, and cancel it once nobody is there to do it: Spark would wait for ever.

        `reached` is set for as long as a worker is there, or was a moment ago.
        """
        tracker = self.context.statusTracker()
        seen = time.monotonic()
        while not done.wait(WATCH_S):
            try:
                stages = [tracker.getStageInfo(stage) for stage in self._stages(tracker)]
                self._progress(what, sum(stage.numCompletedTasks for stage in stages if stage), count)
                if self._has_worker():
                    reached.set()
                    seen = time.monotonic()
                elif time.monotonic() - seen > self._settings.worker_wait_s:
                    reached.clear()
                    self.context.cancelAllJobs()
                    return
            except (Py4JError, OSError):
                # The job is over, or Spark itself is: the thread that waits for the result hears of it.
                return

    def _has_worker(self) -> bool:
        try:
            # The driver itself is in this list, too.
            return self.is_local or self.context._jsc.sc().getExecutorMemoryStatus().size() > 1
        except (Py4JError, OSError):
            return False

    @staticmethod
    def _stages(tracker: StatusTracker) -> Iterator[int]:
        for job in tracker.getActiveJobsIds():
            info = tracker.getJobInfo(job)
            yield from info.stageIds if info else ()


class Java:
    """The Java process of Spark's driver. It starts while others read modules and look what there is to do.

    What Spark says goes into `process-spark.log`.
    """

    def __init__(self, settings: Settings) -> None:
        # Read by pyspark when the process and the context are made, and by nothing else: the workers' Python
        # is this one, and Spark's own services stay on the address on which the driver is reached.
        os.environ["PYSPARK_PYTHON"] = sys.executable
        os.environ["SPARK_LOCAL_IP"] = settings.driver_host
        self.log = settings.reports / "process-spark.log"
        self.conf = SparkConf().setAll(list(_spark_settings(settings).items()))
        self._used = False
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        out = self._cleanup.enter_context(self.log.open("wb"))
        starter = self._cleanup.enter_context(ThreadPoolExecutor(1))
        self._gateway = starter.submit(launch_gateway, self.conf, {"stdout": out, "stderr": out})
        self._cleanup.callback(self._end)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def context(self) -> SparkContext:
        """Spark itself, once Java has started."""
        with _interrupt_later():
            context = SparkContext(conf=self.conf, gateway=self._gateway.result())
            self._cleanup.callback(context.stop)
            self._used = True
        return context

    def end(self) -> None:
        """End Spark and Java; a second time does nothing."""
        self._cleanup.close()

    def _end(self) -> None:
        if self._gateway.exception():
            return
        gateway = self._gateway.result()
        gateway.shutdown()
        if not self._used:
            # Asked to leave, it would keep an archive of the few classes that it has read by now.
            gateway.proc.kill()
        # It leaves by itself once its standard input is closed.
        gateway.proc.stdin.close()
        try:
            gateway.proc.wait(timeout=END_S)
        except subprocess.TimeoutExpired:
            gateway.proc.kill()
            gateway.proc.wait()


@contextmanager
def cluster(settings: Settings, java: Java, progress: Progress) -> Iterator[Cluster]:
    """A Spark application for the time of one run, and the end of its Java process.

    Raises:
        ProcessError: the master does not answer, or Spark does not start.
    """
    # The bridge to Java tells every interrupted call as an error; that belongs into the log, too.
    logging.basicConfig(filename=java.log)
    try:
        try:
            context = java.context()
        except Exception as error:
            raise ProcessError(
                f"Spark did not start with the master {settings.spark_master}: {error}\n"
                f"Run `make status` to see whether the master runs; Spark's own words are in {java.log}."
            ) from error
        try:
            yield Cluster(context, settings, progress)
        except Py4JError as error:
            raise ProcessError(_words(error, java.log)) from error
    finally:
        java.end()


def _spark_settings(settings: Settings) -> dict[str, str]:
    return {
        "spark.master": settings.spark_master,
        "spark.app.name": "customer-profiles",
        "spark.driver.host": settings.driver_host,
        "spark.driver.bindAddress": settings.driver_host,
        "spark.driver.memory": "512m",
        "spark.executor.memory": settings.executor_memory,
        "spark.executor.extraJavaOptions": _java_options(settings, "executor"),
        "spark.driver.extraJavaOptions": _java_options(settings, "driver"),
        # A task has one core; more threads would only take them from each other.
        "spark.executorEnv.POLARS_MAX_THREADS": "1",
        # There lies pyspark once more, in an archive that Python would compile anew each time.
        "spark.executorEnv.SPARK_HOME": "",
        # Polars' allocator would keep what a bucket has freed for ten seconds, beside what the next one takes.
        "spark.executorEnv._RJEM_MALLOC_CONF": "dirty_decay_ms:100,muzzy_decay_ms:0",
        "spark.ui.enabled": "false",
        "spark.log.level": "WARN",
        # Tasks are plain RDD work: Spark schedules, moves and retries, Polars computes.
        "spark.python.worker.reuse": "true",
        # What is shuffled is Parquet, and compressed.
        "spark.shuffle.compress": "false",
        "spark.locality.wait": "0",
        "spark.ui.showConsoleProgress": "false",
        # A stream runs for months: Spark is to forget the jobs of its batches, and their shuffled files.
        **dict.fromkeys(("spark.ui.retainedJobs", "spark.ui.retainedStages", "spark.ui.retainedTasks"), "100"),
        "spark.cleaner.periodicGC.interval": "2min",
    }


def _java_options(settings: Settings, role: str) -> str:
    """Options of Spark's Java processes, which live for seconds.

    Java keeps the classes that it has read and checked in an archive, made at the end of the first
    run and again whenever Java or Spark change; it halves the start. Before Java 19 there is none.
    """
    if not settings.class_archives:
        return JAVA_OPTIONS
    archive = settings.class_archives / f"spark-{role}.jsa"
    return (
        f"-XX:+IgnoreUnrecognizedVMOptions {JAVA_OPTIONS} -XX:+AutoCreateSharedArchive "
        f'"-XX:SharedArchiveFile={archive}"'
    )


@contextmanager
def _interrupt_later() -> Iterator[None]:
    """Hold Ctrl-C back while Spark starts: in the middle of it, nobody could end its Java process."""
    pressed: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        # Not Spark's own handler, which talks to Java in the middle of another call.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if pressed:
        raise KeyboardInterrupt


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C came first: pyspark then tidies up over the connection that it broke, and fails once more."""
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _words(error: Py4JError, log: Path) -> str:
    """What a task raised, without the stacks of two languages around it."""
    said = str(error.java_exception.getMessage()) if isinstance(error, Py4JJavaError) else str(error)
    raised = re.search(r"^processing\.errors\.\w+: (.*?)(?:^\s*at |^ SQLSTATE|\Z)", said, re.M | re.S)
    if raised:
        return raised[1].strip()
    last = [line for line in said.splitlines() if re.match(r"\w[\w.]*(Error|Exception)\b", line)]
    return (
        f"A task failed on Spark four times: {last[-1] if last else said[:500]}\n"
        f"The whole story is in {log}. Run `make status`, then `make process` again: it goes on from here."
    )
