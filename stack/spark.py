"""Spark's standalone master and worker, from the jars that pyspark carries."""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path

import pyspark

from stack.jvm import Jvm
from stack.server import Server
from stack.settings import Settings


def spark(settings: Settings, java: Jvm) -> list[Server]:
    """The master and the workers, all on loopback."""
    home = Path(pyspark.__file__).parent
    work = settings.data("spark")
    master = f"spark://{settings.address('SPARK_MASTER_PORT')}"
    ui = f"http://{settings.address('SPARK_UI_PORT')}"
    env = {
        "JAVA_HOME": str(java.home),
        "SPARK_HOME": str(home),
        # Also the address of the web pages, which otherwise listen everywhere.
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(work / "local"),
        "SPARK_DAEMON_MEMORY": "256m",
        # Executors of finished applications leave folders behind; an hour is enough to read their logs.
        "SPARK_DAEMON_JAVA_OPTS": "-XX:+UseSerialGC -Dspark.worker.cleanup.enabled=true "
        "-Dspark.worker.cleanup.interval=600 -Dspark.worker.cleanup.appDataTtl=3600",
        "PYSPARK_PYTHON": sys.executable,
    }
    launch = [str(home / "bin" / "spark-class")]

    def workers(state: str) -> int:
        try:
            with urllib.request.urlopen(f"{ui}/json/", timeout=2) as answer:
                listed = json.load(answer)["workers"]
        except (OSError, ValueError):
            # It may answer before it has anything to say: then there is no JSON yet.
            return -1
        return sum(1 for worker in listed if worker["state"] == state)

    def prepare() -> None:
        (work / "local").mkdir(parents=True, exist_ok=True)

    return [
        Server(
            name="spark-master",
            command=[
                *launch,
                "org.apache.spark.deploy.master.Master",
                *("--host", "127.0.0.1", "--port", str(settings.ports["SPARK_MASTER_PORT"])),
                *("--webui-port", str(settings.ports["SPARK_UI_PORT"])),
            ],
            env=env,
            ports=("SPARK_MASTER_PORT", "SPARK_UI_PORT"),
            ready=lambda: workers("ALIVE") >= 0,
            address=f"{master}, {ui}",
            prepare=prepare,
        ),
        *(
            Server(
                name=name,
                command=[
                    *launch,
                    "org.apache.spark.deploy.worker.Worker",
                    *("--host", "127.0.0.1", "--webui-port", "0", "--work-dir", str(work / "work" / name)),
                    *("--cores", str(settings.worker_cores), "--memory", settings.worker_memory),
                    master,
                ],
                env=env,
                ports=(),
                ready=lambda: workers("ALIVE") >= settings.workers,
                address=f"{settings.worker_cores} cores, {settings.worker_memory}",
                prepare=prepare,
                after="spark-master",
            )
            for name in settings.servers
            if name.startswith("spark-worker")
        ),
    ]
