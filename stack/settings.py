"""Settings of the native stack, read once from `.env` and the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from customer_profiles.common import defaults
from stack.errors import StackError

ROOT = Path(__file__).resolve().parent.parent

PORT_NAMES = (
    "KAFKA_PORT",
    "KAFKA_CONTROLLER_PORT",
    "SPARK_MASTER_PORT",
    "SPARK_UI_PORT",
    "MINIO_PORT",
    "MINIO_CONSOLE_PORT",
    "ELASTICSEARCH_PORT",
    "ELASTICSEARCH_TRANSPORT_PORT",
)
"""The settings of all ports that the stack listens on."""
MONITORING_PORT_NAMES = ("PROMETHEUS_PORT", "ALERTMANAGER_PORT", "MONITORING_PORT")
"""The settings of the ports that the servers of monitoring listen on (`MONITORING=1`)."""
MONITORING_SERVERS = ("alertmanager", "prometheus", "monitoring")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the stack lives and which ports, secrets and sizes it uses."""

    home: Path
    """Data, logs and process records; one per stack."""
    dist: Path
    """Built servers; several stacks may share them."""
    ports: Mapping[str, int]
    """Each port by the name of its setting."""
    minio_user: str
    minio_password: str = field(repr=False)
    kafka_user: str
    kafka_password: str = field(repr=False)
    spark_secret: str = field(repr=False)
    """What Spark's processes show each other before they talk."""
    elastic_password: str = field(repr=False)
    workers: int
    """Spark workers on this machine."""
    worker_cores: int
    worker_memory: str
    monitoring: bool = False
    """Whether Prometheus, Alertmanager and the monitoring service belong to the stack."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings from these variables alone. Empty values count as unset.

        Raises:
            StackError: a setting is missing or wrong; the message names all of them.
        """
        problems: list[str] = []
        read = _Reader(environ, problems)
        monitoring = environ.get("MONITORING", "").strip().lower() not in ("", "0", "no", "false")
        port_names = (*PORT_NAMES, *(MONITORING_PORT_NAMES if monitoring else ()))
        home = ROOT / (environ.get("STACK_HOME") or defaults.STACK_HOME)
        settings = cls(
            home=home,
            dist=Path(environ["STACK_DIST"]) if environ.get("STACK_DIST") else home / "dist",
            ports={name: read.integer(name, defaults.PORTS[name]) for name in port_names},
            workers=read.integer("SPARK_WORKERS", defaults.SPARK_WORKERS),
            worker_cores=read.integer("SPARK_WORKER_CORES", defaults.SPARK_WORKER_CORES),
            worker_memory=environ.get("SPARK_WORKER_MEMORY") or defaults.SPARK_WORKER_MEMORY,
            minio_user=read.required("MINIO_ROOT_USER"),
            minio_password=read.required("MINIO_ROOT_PASSWORD"),
            kafka_user=environ.get("KAFKA_USER") or defaults.KAFKA_USER,
            kafka_password=read.required("KAFKA_PASSWORD"),
            spark_secret=read.required("SPARK_AUTH_SECRET"),
            elastic_password=read.required("ELASTIC_PASSWORD"),
            monitoring=monitoring,
        )
        # Kafka reads both from a file that cannot hold everything.
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", settings.kafka_user):
            problems.append("KAFKA_USER is not a word of ASCII letters and digits")
        if not re.fullmatch(r"[!-~]*", settings.kafka_password):
            problems.append("KAFKA_PASSWORD has spaces, or characters beyond ASCII")
        problems += _shared_ports(settings.ports)
        if problems:
            raise StackError(
                "The settings are not usable: " + "; ".join(problems) + ".\n"
                "Run `make setup` to fill in what is missing, or correct the values in .env."
            )
        return settings

    @property
    def servers(self) -> tuple[str, ...]:
        """The names of all servers."""
        more_workers = (f"spark-worker-{number}" for number in range(2, self.workers + 1))
        return (
            "kafka",
            "spark-master",
            "spark-worker",
            *more_workers,
            "minio",
            "elasticsearch",
            *(MONITORING_SERVERS if self.monitoring else ()),
        )

    def data(self, server: str) -> Path:
        """Return the folder of one server's data."""
        return self.home / "data" / server

    def address(self, port: str) -> str:
        """Return `127.0.0.1:PORT` for the name of a port setting."""
        return f"{defaults.HOST}:{self.ports[port]}"


class _Reader:
    """Reads variables and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str], problems: list[str]) -> None:
        self._environ = environ
        self._problems = problems

    def integer(self, name: str, default: int) -> int:
        text = self._environ.get(name) or str(default)
        if not text.isdigit() or not 0 < int(text) < 65536:
            self._problems.append(f"{name}={text} is not a whole number from 1 to 65535")
            return default
        return int(text)

    def required(self, name: str) -> str:
        value = self._environ.get(name, "")
        if not value:
            self._problems.append(f"{name} is not set")
        return value


def _shared_ports(ports: Mapping[str, int]) -> list[str]:
    names: dict[int, str] = {}
    return [
        f"{other} and {name} are both {port} (./configure-ports.sh --repick chooses another port)"
        for name, port in ports.items()
        if (other := names.setdefault(port, name)) != name
    ]
