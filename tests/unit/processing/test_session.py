"""What people are told where Spark gives up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from py4j.protocol import Py4JError

from processing.errors import ProcessError
from processing.session import Cluster
from processing.settings import Settings

MASTER = {"MINIO_ROOT_USER": "u", "MINIO_ROOT_PASSWORD": "p", "SPARK_MASTER_URL": "spark://master:7077"}


def cluster(executors: int) -> Cluster:
    """Spark as far as it is asked, with some executors and no jobs."""
    members = SimpleNamespace(size=lambda: 1 + executors)
    spark = SimpleNamespace(sc=lambda: SimpleNamespace(getExecutorMemoryStatus=lambda: members))
    tracker = SimpleNamespace(getActiveJobsIds=list)
    context: Any = SimpleNamespace(_jsc=spark, statusTracker=lambda: tracker)
    return Cluster(context, Settings.from_env(MASTER), lambda *_: None)


def failing(*, interrupted: bool = False) -> Any:
    def collect() -> None:
        try:
            if interrupted:
                raise KeyboardInterrupt
        finally:
            raise Py4JError("java.lang.InterruptedException")

    return SimpleNamespace(collect=collect)


def test_a_master_that_does_not_answer_is_named() -> None:
    with pytest.raises(ProcessError, match=r"The Spark master spark://master:7077 does not answer\.\n`make status`"):
        cluster(executors=0).run(failing(), "profiles", 1)


def test_what_fails_on_a_worker_is_not_the_master_s_fault() -> None:
    with pytest.raises(Py4JError, match="InterruptedException"):
        cluster(executors=1).run(failing(), "profiles", 1)


@pytest.mark.parametrize("executors", [0, 1])
def test_ctrl_c_is_ctrl_c_whatever_fails_after_it(executors: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        cluster(executors).run(failing(interrupted=True), "profiles", 1)
