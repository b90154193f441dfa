"""Settings of the native stack, read once from `.env` and the environment."""

from __future__ import annotations

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
    workers: int
    """Spark workers on this machine."""
    worker_cores: int
    worker_memory: str

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings from these variables alone. Empty values count as unset.

        Raises:
            StackError: a setting is missing or wrong; the message names all of them.
        """
        problems: list[str] = []

        def integer(name: str, default: int) -> int:
            text = environ.get(name) or str(default)
            if not text.isdigit() or not 0 < int(text) < 65536:
                problems.append(f"{name}={text} is not a whole number from 1 to 65535")
                return default
            return int(text)

        def required(name: str) -> str:
            value = environ.get(name, "")
            if not value:
                problems.append(f"{name} is not set")
            return value

        home = ROOT / (environ.get("STACK_HOME") or defaults.STACK_HOME)
        settings = cls(
            home=home,
            dist=Path(environ["STACK_DIST"]) if environ.get("STACK_DIST") else home / "dist",
            ports={name: integer(name, defaults.PORTS[name]) for name in PORT_NAMES},
            workers=integer("SPARK_WORKERS", defaults.SPARK_WORKERS),
            worker_cores=integer("SPARK_WORKER_CORES", defaults.SPARK_WORKER_CORES),
            worker_memory=environ.get("SPARK_WORKER_MEMORY") or defaults.SPARK_WORKER_MEMORY,
            minio_user=required("MINIO_ROOT_USER"),
            minio_password=required("MINIO_ROOT_PASSWORD"),
        )
        names: dict[int, str] = {}
        for name, port in settings.ports.items():
            other = names.setdefault(port, name)
            if other != name:
                problems.append(
                    f"{other} and {name} are both {port} (./configure-ports.sh --repick chooses "
                    "another port)"
                )
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
        )

    def data(self, server: str) -> Path:
        """Return the folder of one server's data."""
        return self.home / "data" / server

    def address(self, port: str) -> str:
        """Return `127.0.0.1:PORT` for the name of a port setting."""
        return f"{defaults.HOST}:{self.ports[port]}"
