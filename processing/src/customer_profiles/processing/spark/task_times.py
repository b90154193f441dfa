"""When the tasks of a job ran, for the trace of a run. Nobody asks unless a run is traced."""

from __future__ import annotations

import logging

from py4j.protocol import Py4JError
from pyspark import SparkContext

from customer_profiles.telemetry.traces import add_task

MAX_TASKS = 2_000
"""Of a stage of Spark."""
WAIT_MS = 2_000
"""For Spark to write down what has just ended."""

logger = logging.getLogger(__name__)


def note_tasks(context: SparkContext, step: str) -> None:
    """Add the tasks of the newest job to the trace.

    Args:
        context: the application.
        step: the job's name for people.
    """
    try:
        spark = context._jsc.sc()
        spark.listenerBus().waitUntilEmpty(WAIT_MS)
        tracker = context.statusTracker()
        job = tracker.getJobInfo(max(tracker.getJobIdsForGroup()))
        for stage in job.stageIds if job else ():
            tasks = spark.statusStore().taskList(stage, 0, MAX_TASKS)
            for number in range(tasks.size()):
                task = tasks.apply(number)
                began = task.launchTime().getTime() * 1_000_000
                duration = task.duration()
                milliseconds = duration.get() if duration.isDefined() else 0
                attributes: dict[str, str | int | float] = {
                    "spark.stage.id": int(stage),
                    "spark.task.index": int(task.index()),
                    "spark.executor.id": str(task.executorId()),
                }
                add_task(f"{step}, task", began, began + milliseconds * 1_000_000, attributes)
    except (Py4JError, OSError, ValueError, TypeError) as error:
        # Another version of Spark keeps them elsewhere. The trace then ends with the stages.
        logger.debug("the times of tasks are unknown: %s", error)
