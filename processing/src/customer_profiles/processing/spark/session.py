"""The Spark session of one run: the first job starts it, and it stops after the last one."""

from __future__ import annotations

import logging
from typing import Any, Self

from py4j.protocol import Py4JError

from customer_profiles.common.errors import PipelineError
from customer_profiles.processing.background import Background
from customer_profiles.processing.settings import Settings
from customer_profiles.processing.spark.cluster import Cluster, Progress
from customer_profiles.processing.spark.failures import task_failure
from customer_profiles.processing.spark.jvm import DriverJvm

logger = logging.getLogger(__name__)


class SparkSession:
    """Runs jobs on the cluster; the first one starts Spark.

    Args:
        settings: the master's address and the sizes of driver and executors.
        jvm: the driver's JVM, which has been starting since the command began.
        progress: told how far a job is.
    """

    def __init__(self, settings: Settings, jvm: DriverJvm, progress: Progress) -> None:
        self._settings = settings
        self._jvm = jvm
        self._progress = progress
        self._cluster: Cluster | None = None
        self._stopping: Background[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stopping is not None:
            self._stopping.result()
        self._jvm.stop()

    @property
    def started(self) -> bool:
        """Whether a job has started Spark."""
        return self._cluster is not None

    def start(self) -> Cluster:
        """Start Spark unless it runs.

        Raises:
            PipelineError: Spark does not start.
        """
        if self._cluster is None:
            master = self._settings.spark_master
            logger.info("starting Spark on %s", master, extra={"event": "spark_starting"})
            try:
                context = self._jvm.start_context()
            except Exception as error:
                raise PipelineError(
                    f"Spark did not start with the master {master}: {error}\n"
                    "Run `make status` to see whether the master runs; "
                    f"Spark's own words are in {self._jvm.log}."
                ) from error
            self._cluster = Cluster(context, self._settings, self._progress)
        return self._cluster

    def run(self, rdd: Any, step: str, tasks: int) -> list[Any]:
        """Collect an RDD; arguments as for `Cluster.run`.

        Raises:
            PipelineError: no worker came in time, or a task failed four times.
        """
        try:
            return self.start().run(rdd, step, tasks)
        except Py4JError as error:
            raise task_failure(error, self._jvm.log) from error

    def stop_in_background(self) -> None:
        """Stop Spark beside the steps that do not need it; it takes a second.

        Leaving the session waits for the end.
        """
        if self.started and self._stopping is None:
            self._stopping = Background(self._jvm.stop, "spark-stop")
