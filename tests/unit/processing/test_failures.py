"""What failures on the cluster look like to people."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from py4j.protocol import Py4JError, Py4JJavaError

from customer_profiles.processing.spark.failures import no_worker_message, task_failure_message

LOG = Path("reports/process-spark.log")

ABORTED = (
    "Job aborted due to stage failure: Task 3 in stage 0.0 failed 4 times, most recent failure: "
    "Lost task 3.3 in stage 0.0 (TID 9) (127.0.0.1 executor 0): "
)
TRACEBACK = """\
org.apache.spark.api.python.PythonException: Traceback (most recent call last):
  File "/venv/lib/python3.11/site-packages/pyspark/worker.py", line 3402, in main
    process()
  File "/src/customer_profiles/processing/tasks/profile.py", line 79, in update_buckets
    yield update_bucket(store, index, bucket, task)
          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
"""
JAVA_TRACE = """
\tat org.apache.spark.api.python.BasePythonRunner$ReaderIterator.handlePythonException(\
PythonRunner.scala:581)
\tat org.apache.spark.api.python.PythonRunner$$anon$3.read(PythonRunner.scala:940)
\tat java.base/java.lang.Thread.run(Thread.java:1583)

Driver stacktrace:"""
OURS = """\
customer_profiles.lake.errors.LakeUnavailableError: MinIO on 127.0.0.1:9000 does not answer.
Run `make status`, then `make process` again.
"""


def java_error(text: str) -> Py4JJavaError:
    """Return the error of a call into Java that raised an exception with this message."""
    exception: Any = SimpleNamespace(_target_id="o1", getMessage=lambda: text)
    return Py4JJavaError("An error occurred while calling o1.collect.\n", exception)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(ABORTED + TRACEBACK + OURS + JAVA_TRACE, id="between-traces"),
        pytest.param(ABORTED + TRACEBACK + OURS + " SQLSTATE: 38000" + JAVA_TRACE, id="sqlstate"),
        pytest.param(ABORTED + TRACEBACK + OURS, id="at-the-end"),
        pytest.param(
            ABORTED
            + TRACEBACK
            + "obstore.exceptions.GenericError: Generic S3 error: error sending request\n\n"
            "The above exception was the direct cause of the following exception:\n\n"
            "Traceback (most recent call last):\n"
            '  File "/src/customer_profiles/lake/s3.py", line 97, in get\n' + OURS + JAVA_TRACE,
            id="with-a-cause",
        ),
    ],
)
def test_the_message_of_our_own_error_is_all_that_is_shown(text: str) -> None:
    assert task_failure_message(java_error(text), LOG) == (
        "MinIO on 127.0.0.1:9000 does not answer.\nRun `make status`, then `make process` again."
    )


def test_another_error_is_shown_in_a_line_with_the_log_and_the_next_action() -> None:
    error = "polars.exceptions.ComputeError: parquet: File out of specification: footer\n"
    text = ABORTED + TRACEBACK + "ValueError: a first error\n\n" + error + JAVA_TRACE
    assert task_failure_message(java_error(text), LOG) == (
        "A task failed on Spark four times: "
        "polars.exceptions.ComputeError: parquet: File out of specification: footer\n"
        "The whole story is in reports/process-spark.log. Run `make status`, then `make process` "
        "again: it goes on from here."
    )


def test_an_error_without_a_traceback_is_cut(tmp_path: Path) -> None:
    lost = ABORTED + "ExecutorLostFailure (executor 0 exited caused by one of the running tasks) "
    message = task_failure_message(java_error(lost + "x" * 1_000), tmp_path / "log")
    first, second = message.splitlines()
    assert first == "A task failed on Spark four times: " + (lost + "x" * 1_000)[:500]
    assert str(tmp_path / "log") in second


def test_an_error_of_the_connection_to_java_has_a_message_too() -> None:
    error = Py4JError("An error occurred while trying to connect to the Java server")
    first, _ = task_failure_message(error, LOG).splitlines()
    assert first == (
        "A task failed on Spark four times: "
        "An error occurred while trying to connect to the Java server"
    )


@pytest.mark.parametrize(
    ("waited_s", "cause"),
    [(None, "does not answer."), (60, "had no worker for this run in 60 s.")],
)
def test_a_missing_worker_is_told_from_a_missing_master(waited_s: int | None, cause: str) -> None:
    first, second = no_worker_message("spark://master:7077", waited_s).splitlines()
    assert first == f"The Spark master spark://master:7077 {cause}"
    assert "`make up` starts it" in second
