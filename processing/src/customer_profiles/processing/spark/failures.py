"""Messages for what fails on the cluster."""

from __future__ import annotations

import re
from pathlib import Path

from py4j.protocol import Py4JError, Py4JJavaError

from customer_profiles.common.errors import PipelineError
from customer_profiles.kafka.errors import BrokerUnavailableError, OffsetOutOfRangeError
from customer_profiles.lake.errors import LakeUnavailableError

_OUR_ERROR = re.compile(
    r"^customer_profiles\.[\w.]+Error: (.*?)(?:^\s*at |^ SQLSTATE|\Z)", re.MULTILINE | re.DOTALL
)
"""The message of a PipelineError in the traceback that Spark passes on as text."""
_OUR_CLASS = re.compile(r"^customer_profiles\.(?:\w+\.)*(\w+Error): ", re.MULTILINE)
_CLASSES: dict[str, type[PipelineError]] = {
    error.__name__: error
    for error in (BrokerUnavailableError, OffsetOutOfRangeError, LakeUnavailableError)
}
_ANY_ERROR = re.compile(r"\w[\w.]*(Error|Exception)\b")


def task_failure_message(error: Py4JError, log: Path) -> str:
    """Return what a task raised, without the stack traces of Python and Java around it."""
    text = _text(error)
    raised = _OUR_ERROR.search(text)
    if raised:
        return raised[1].strip()
    lines = [line for line in text.splitlines() if _ANY_ERROR.match(line)]
    return (
        f"A task failed on Spark four times: {lines[-1] if lines else text[:500]}\n"
        f"The whole story is in {log}. Run `make status`, then `make process` again: "
        "it goes on from here."
    )


def refused_message(master: str) -> str:
    """Return the message for a master that runs and does not accept this run."""
    return (
        f"The Spark master {master} runs, but it does not accept this run: it is another stack's, "
        "or it was started with another SPARK_AUTH_SECRET.\n"
        "Correct SPARK_MASTER_PORT or SPARK_AUTH_SECRET in .env; if the secret there is new, run "
        "`make down` and `make up`. Then run the command again: it goes on from here."
    )


def task_failure(error: Py4JError, log: Path) -> PipelineError:
    """Return the error of a job, of the class that the task raised where a run goes on by it."""
    text = _text(error)
    name = _OUR_CLASS.search(text)
    error_class = _CLASSES.get(name[1], PipelineError) if name else PipelineError
    return error_class(task_failure_message(error, log))


def _text(error: Py4JError) -> str:
    if isinstance(error, Py4JJavaError):
        return str(error.java_exception.getMessage())
    return str(error)


def no_worker_message(master: str, waited_s: int | None, cause: str | None = None) -> str:
    """Return the message for a job that no worker took.

    Args:
        master: the master's URL.
        waited_s: how long the run waited for a worker; None if the master did not answer at all.
        cause: why there was no worker, as `missing_worker_cause` returns it; None if unknown.
    """
    if waited_s is None:
        return (
            f"The Spark master {master} does not answer.\n"
            "`make status` shows whether it runs, and `make up` starts it. Then run the command "
            "again: it goes on from here."
        )
    cause = cause or (
        "`make status` shows whether a worker runs, and `make up` starts it. Where one runs, "
        "either another run holds its cores, or it has less free memory than "
        "SPARK_EXECUTOR_MEMORY."
    )
    return (
        f"The Spark master {master} had no worker for this run in {waited_s} s.\n"
        f"{cause} Then run the command again: it goes on from here."
    )
