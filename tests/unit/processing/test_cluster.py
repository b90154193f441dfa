"""The errors that users see when Spark gives up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from py4j.protocol import Py4JError

from customer_profiles.common.errors import PipelineError
from customer_profiles.processing.settings import Settings
from customer_profiles.processing.spark.cluster import Cluster

MASTER = {
    "MINIO_ROOT_USER": "u",
    "MINIO_ROOT_PASSWORD": "p",
    "SPARK_MASTER_URL": "spark://master:7077",
}


def cluster(executors: int) -> Cluster:
    """Return a cluster on a fake Spark context with some executors and no active jobs."""
    members = SimpleNamespace(size=lambda: 1 + executors)
    spark = SimpleNamespace(sc=lambda: SimpleNamespace(getExecutorMemoryStatus=lambda: members))
    tracker = SimpleNamespace(getActiveJobsIds=list)
    context: Any = SimpleNamespace(_jsc=spark, statusTracker=lambda: tracker)
    return Cluster(context, Settings.from_env(MASTER), lambda *_: None)


def failing_job(*, interrupted: bool = False) -> Any:
    def collect() -> None:
        try:
            if interrupted:
                raise KeyboardInterrupt
        finally:
            raise Py4JError("java.lang.InterruptedException")

    return SimpleNamespace(collect=collect)


def test_an_unreachable_master_is_reported() -> None:
    with pytest.raises(
        PipelineError,
        match=r"The Spark master spark://master:7077 does not answer\.\n`make status`",
    ):
        cluster(executors=0).run(failing_job(), "profiles", 1)


def test_a_failure_on_a_worker_is_not_blamed_on_the_master() -> None:
    with pytest.raises(Py4JError, match="InterruptedException"):
        cluster(executors=1).run(failing_job(), "profiles", 1)


@pytest.mark.parametrize("executors", [0, 1])
def test_ctrl_c_is_raised_even_if_something_fails_after_it(executors: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        cluster(executors).run(failing_job(interrupted=True), "profiles", 1)
