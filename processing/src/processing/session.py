"""The connection to the Spark cluster."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway

from processing.errors import ProcessError
from processing.settings import Settings

END_S = 15.0


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
    with log.open("wb") as out, ExitStack() as cleanup:
        with _interrupt_later():
            try:
                gateway = launch_gateway(conf, {"stdout": out, "stderr": out})  # type: ignore[no-untyped-call]
                cleanup.callback(_end, gateway)
                context = SparkContext(conf=conf, gateway=gateway)
                cleanup.callback(context.stop)
            except Exception as error:
                raise ProcessError(
                    f"Spark did not start with the master {settings.spark_master}: {error}\n"
                    f"Run `make status` to see whether the master runs; Spark's own words are in {log}."
                ) from error
        try:
            yield context
        except Py4JError as error:
            raise ProcessError(_words(error, log)) from error


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


def _end(gateway: Any) -> None:
    """End the Java process of the driver; it leaves by itself once its standard input is closed."""
    gateway.shutdown()
    gateway.proc.stdin.close()
    try:
        gateway.proc.wait(timeout=END_S)
    except subprocess.TimeoutExpired:
        gateway.proc.kill()
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
