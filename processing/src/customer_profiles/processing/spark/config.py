"""Spark's configuration for this application."""

from __future__ import annotations

from customer_profiles.processing.settings import Settings

JAVA_OPTIONS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
DRIVER_MEMORY = "512m"
RETAINED = "100"
"""Jobs, stages and tasks that the driver remembers. A stream runs thousands of them a day."""


def spark_settings(settings: Settings) -> dict[str, str]:
    """Return the Spark properties of a run.

    Tasks are plain RDD functions: Spark schedules, shuffles and retries, and Polars computes.

    The driver's JVM gets these properties on its command line, so no secret is among them.
    """
    retained = ("spark.ui.retainedJobs", "spark.ui.retainedStages", "spark.ui.retainedTasks")
    return {
        "spark.master": settings.spark_master,
        "spark.app.name": "customer-profiles",
        "spark.driver.host": settings.driver_host,
        "spark.driver.bindAddress": settings.driver_host,
        "spark.driver.memory": DRIVER_MEMORY,
        "spark.driver.extraJavaOptions": _java_options(settings, "driver"),
        "spark.executor.memory": settings.executor_memory,
        "spark.executor.extraJavaOptions": _java_options(settings, "executor"),
        # Each task has one core. More Polars threads would only compete for it.
        "spark.executorEnv.POLARS_MAX_THREADS": "1",
        # Skip SPARK_HOME's zipped pyspark: Python recompiles it at every start.
        "spark.executorEnv.SPARK_HOME": "",
        # Return a bucket's memory to the system before the next bucket needs its own.
        # Polars' allocator would otherwise keep it for ten seconds.
        "spark.executorEnv._RJEM_MALLOC_CONF": "dirty_decay_ms:100,muzzy_decay_ms:0",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "WARN",
        "spark.python.worker.reuse": "true",
        # Shuffled blocks are Parquet, which is compressed already.
        "spark.shuffle.compress": "false",
        "spark.locality.wait": "0",
        # A stream runs for months. Spark must forget finished jobs and delete their shuffle files.
        **dict.fromkeys(retained, RETAINED),
        "spark.cleaner.periodicGC.interval": "2min",
        **({"spark.authenticate": "true"} if secret_settings(settings) else {}),
    }


def secret_settings(settings: Settings) -> dict[str, str]:
    """Return the Spark properties that nobody else may see.

    The driver sets them inside its running JVM. Executors inherit the secret from their worker.
    """
    secret = settings.spark_auth_secret.get_secret_value()
    # Other kinds of masters, such as `local[*]`, have ways of their own to authenticate.
    needs_secret = secret and settings.spark_master.startswith("spark://")
    return {"spark.authenticate.secret": secret} if needs_secret else {}


def _java_options(settings: Settings, role: str) -> str:
    """Return the options of Spark's short-lived JVMs.

    From Java 19 on, the JVM keeps an archive of the classes that it loaded and verified.
    It writes the archive at the end of the first run and again after Java or Spark change.
    The archive halves the start-up time.
    """
    if not settings.class_archives:
        return JAVA_OPTIONS
    archive = settings.class_archives / f"spark-{role}.jsa"
    return (
        f"-XX:+IgnoreUnrecognizedVMOptions {JAVA_OPTIONS} -XX:+AutoCreateSharedArchive "
        f'"-XX:SharedArchiveFile={archive}"'
    )
