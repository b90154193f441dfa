"""The connection to the Spark cluster."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway

from processing.errors import ProcessError
from processing.settings import Settings


@contextmanager
def spark_context(settings: Settings, log: Path) -> Iterator[SparkContext]:
    """A Spark application for the time of one run; what Spark says goes into `log`.

    Raises:
        ProcessError: the master does not answer, or Spark does not start.
    """
    # Read by pyspark when the context is made, and by nothing else: the workers' Python is this one,
    # and Spark's own services stay on the address on which the driver is reached.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = settings.driver_host
    conf = SparkConf()
    for key, value in {
        "spark.master": settings.spark_master,
        "spark.app.name": "customer-profiles",
        "spark.driver.host": settings.driver_host,
        "spark.driver.bindAddress": settings.driver_host,
        "spark.driver.memory": "512m",
        "spark.executor.memory": settings.executor_memory,
        "spark.executor.extraJavaOptions": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
        "spark.driver.extraJavaOptions": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
        "spark.ui.enabled": "false",
        "spark.log.level": "WARN",
        # Tasks are plain RDD work: Spark schedules, moves and retries, Polars computes.
        "spark.python.worker.reuse": "true",
        "spark.locality.wait": "0",
        "spark.ui.showConsoleProgress": "false",
    }.items():
        conf.set(key, value)
    log.parent.mkdir(parents=True, exist_ok=True)
    # The bridge to Java tells every interrupted call as an error; that belongs into the log, too.
    logging.basicConfig(filename=log)
    with log.open("wb") as out:
        try:
            gateway = launch_gateway(conf, {"stdout": out, "stderr": out})  # type: ignore[no-untyped-call]
            context = SparkContext(conf=conf, gateway=gateway)
        except Exception as error:
            raise ProcessError(
                f"Spark did not start with the master {settings.spark_master}: {error}\n"
                f"Run `make status` to see whether the master runs; Spark's own words are in {log}."
            ) from error
        # Spark's own handler of Ctrl-C talks to Java in the middle of another call.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            yield context
        except Py4JError as error:
            raise ProcessError(_words(error, log)) from error
        finally:
            context.stop()
            gateway.shutdown()
            gateway.proc.stdin.close()
            gateway.proc.wait()


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
