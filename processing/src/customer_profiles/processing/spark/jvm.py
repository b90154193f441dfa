"""The JVM of Spark's driver."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from functools import partial
from typing import Any, Self

from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway

from customer_profiles.processing.background import Background
from customer_profiles.processing.settings import Settings
from customer_profiles.processing.spark.config import secret_settings, spark_settings
from customer_profiles.processing.spark.interrupts import delay_interrupt

EXIT_TIMEOUT_S = 15.0


class DriverJvm:
    """The driver's JVM; it starts while the caller imports modules and looks for work.

    Spark's output goes to `process-spark.log` in the folder of reports.
    """

    def __init__(self, settings: Settings) -> None:
        # pyspark reads both only when it starts the JVM and the context.
        # Workers must run this Python, and Spark's services must listen where the driver does.
        os.environ["PYSPARK_PYTHON"] = sys.executable
        os.environ["SPARK_LOCAL_IP"] = settings.driver_host
        self.log = settings.reports / "process-spark.log"
        properties = spark_settings(settings)
        self._conf = SparkConf().setAll(list(properties.items()))
        properties |= secret_settings(settings)
        self._context_conf = SparkConf().setAll(list(properties.items()))
        self._context: SparkContext | None = None
        self._gateway: Background[Any] | None = None
        self._stopping = threading.Lock()

    def __enter__(self) -> Self:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._log_file = self.log.open("wb")
        # py4j logs every interrupted call as an error. Only the log file should show that.
        py4j = logging.getLogger("py4j")
        py4j.propagate = False
        py4j.addHandler(logging.FileHandler(self.log))
        streams = {"stdout": self._log_file, "stderr": self._log_file}
        self._gateway = Background(partial(launch_gateway, self._conf, streams), "driver-jvm")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start_context(self) -> SparkContext:
        """Wait for the JVM and start Spark in it."""
        if self._gateway is None:
            raise RuntimeError("The JVM runs only inside the context manager.")
        with delay_interrupt():
            self._context = SparkContext(conf=self._context_conf, gateway=self._gateway.result())
        return self._context

    def stop(self) -> None:
        """Stop Spark and the JVM. Safe to call again, also from another thread."""
        with self._stopping:
            if self._gateway is None:
                return
            try:
                if self._context is not None:
                    self._context.stop()
            finally:
                self._stop_jvm(self._gateway)
                self._gateway = None
                self._log_file.close()

    def _stop_jvm(self, starting: Background[Any]) -> None:
        try:
            gateway = starting.result()
        except Exception as error:
            # `start_context` has raised it for the command that needs Spark.
            logging.getLogger("py4j").info("the JVM did not start: %s", error)
            return
        gateway.shutdown()
        if self._context is None:
            # A JVM that exits normally would write a class archive of the few classes so far.
            gateway.proc.kill()
        # The JVM exits once its standard input is closed.
        gateway.proc.stdin.close()
        try:
            gateway.proc.wait(timeout=EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            gateway.proc.kill()
            gateway.proc.wait()
