"""Spark's standalone master and workers, from the jars in the pyspark package."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pyspark

from customer_profiles.common.defaults import HOST
from stack.jvm import Jvm
from stack.server import Server
from stack.settings import Settings

DAEMON_OPTIONS = (
    "-XX:+UseSerialGC",
    # Executors of finished applications leave folders behind. Keep them for an hour, so that people
    # can read their logs.
    "-Dspark.worker.cleanup.enabled=true",
    "-Dspark.worker.cleanup.interval=600",
    "-Dspark.worker.cleanup.appDataTtl=3600",
)
METRICS_OPTIONS = (
    # The master's page shows its metrics in Prometheus' format at /metrics/master/prometheus.
    "-Dspark.metrics.conf.master.sink.prometheusServlet.class="
    "org.apache.spark.metrics.sink.PrometheusServlet",
    "-Dspark.metrics.conf.master.sink.prometheusServlet.path=/metrics/master/prometheus",
)
ACCESS_OPTIONS = (
    # Every connection has to know the secret.
    "-Dspark.authenticate=true",
    # The REST server runs the code of anybody who reaches its port.
    "-Dspark.master.rest.enabled=false",
    # The pages have no password, so they may only show.
    "-Dspark.ui.killEnabled=false",
    "-Dspark.master.ui.decommission.allow.mode=DENY",
)


def spark(settings: Settings, java: Jvm) -> list[Server]:
    """Describe the master and the workers, all on loopback."""
    home = Path(pyspark.__file__).parent
    work = settings.data("spark")
    env = {
        "JAVA_HOME": str(java.home),
        "SPARK_HOME": str(home),
        # Binds the web pages, too, which would listen on every address otherwise.
        "SPARK_LOCAL_IP": HOST,
        "SPARK_LOCAL_DIRS": str(work / "local"),
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_DAEMON_JAVA_OPTS": " ".join([*DAEMON_OPTIONS, *METRICS_OPTIONS, *ACCESS_OPTIONS]),
        "PYSPARK_PYTHON": sys.executable,
        # Spark reads its secret from here. The environment of a process is not public, as its
        # command line is. Workers pass it on to their executors.
        "_SPARK_AUTH_SECRET": settings.spark_secret,
    }
    launcher = [str(home / "bin" / "spark-class")]

    def prepare() -> None:
        (work / "local").mkdir(parents=True, exist_ok=True)

    workers = [name for name in settings.servers if name.startswith("spark-worker")]
    return [
        _master(settings, launcher, env, prepare),
        *(
            _worker(settings, launcher, env, prepare, name, work / "work" / name)
            for name in workers
        ),
    ]


def _master(
    settings: Settings, launcher: list[str], env: dict[str, str], prepare: Callable[[], None]
) -> Server:
    return Server(
        name="spark-master",
        command=[
            *launcher,
            "org.apache.spark.deploy.master.Master",
            *("--host", HOST, "--port", str(settings.ports["SPARK_MASTER_PORT"])),
            *("--webui-port", str(settings.ports["SPARK_UI_PORT"])),
        ],
        env=env,
        ports=("SPARK_MASTER_PORT", "SPARK_UI_PORT"),
        ready=lambda: _alive_workers(_ui_url(settings)) is not None,
        address=f"{_master_url(settings)}, {_ui_url(settings)}",
        prepare=prepare,
    )


def _worker(
    settings: Settings,
    launcher: list[str],
    env: dict[str, str],
    prepare: Callable[[], None],
    name: str,
    folder: Path,
) -> Server:
    def ready() -> bool:
        alive = _alive_workers(_ui_url(settings))
        return alive is not None and alive >= settings.workers

    return Server(
        name=name,
        command=[
            *launcher,
            "org.apache.spark.deploy.worker.Worker",
            *("--host", HOST, "--webui-port", "0", "--work-dir", str(folder)),
            *("--cores", str(settings.worker_cores), "--memory", settings.worker_memory),
            _master_url(settings),
        ],
        env=env,
        ports=(),
        ready=ready,
        address=f"{settings.worker_cores} cores, {settings.worker_memory}",
        prepare=prepare,
        after="spark-master",
    )


def _master_url(settings: Settings) -> str:
    return f"spark://{settings.address('SPARK_MASTER_PORT')}"


def _ui_url(settings: Settings) -> str:
    return f"http://{settings.address('SPARK_UI_PORT')}"


def _alive_workers(ui: str) -> int | None:
    """Return how many workers the master knows to be alive, or None if it does not answer."""
    try:
        with urllib.request.urlopen(f"{ui}/json/", timeout=2) as answer:
            workers = json.load(answer)["workers"]
    except (OSError, ValueError):
        # A starting master answers before it has any JSON to send.
        return None
    return sum(1 for worker in workers if worker["state"] == "ALIVE")
