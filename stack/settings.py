"""Settings of the native stack, read once from `.env` and the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError

ROOT = Path(__file__).resolve().parent.parent

PORT_DEFAULTS: Mapping[str, int] = {
    "KAFKA_PORT": 9092,
    "KAFKA_CONTROLLER_PORT": 9093,
    "SPARK_MASTER_PORT": 7077,
    "SPARK_UI_PORT": 8080,
    "MINIO_PORT": 9000,
    "MINIO_CONSOLE_PORT": 9001,
    "ELASTICSEARCH_PORT": 9200,
    "ELASTICSEARCH_TRANSPORT_PORT": 9300,
}
"""Every port that the stack listens on, by the name of its setting."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the stack lives and which ports, secrets and sizes it uses."""

    home: Path
    """Data, logs and process records; one per stack."""
    dist: Path
    """Built servers; may be shared by several stacks."""
    ports: Mapping[str, int]
    minio_user: str
    minio_password: str
    workers: int
    """Of Spark, on this machine."""
    worker_cores: int
    worker_memory: str

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings.

        Raises:
            StackError: naming everything that is missing or malformed at once.
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

        ports = {name: integer(name, default) for name, default in PORT_DEFAULTS.items()}
        workers, cores = integer("SPARK_WORKERS", 1), integer("SPARK_WORKER_CORES", 2)
        user, password = required("MINIO_ROOT_USER"), required("MINIO_ROOT_PASSWORD")
        doubles = sorted({port for port in ports.values() if list(ports.values()).count(port) > 1})
        if doubles:
            problems.append(f"port {doubles[0]} is given to two servers")
        if problems:
            raise StackError(
                "The settings are not usable: " + "; ".join(problems) + ".\n"
                "Run `make setup` to fill in what is missing, or mend the values in .env."
            )
        home = ROOT / (environ.get("STACK_HOME") or ".stack")
        return cls(
            home=home,
            dist=Path(environ["STACK_DIST"]) if environ.get("STACK_DIST") else home / "dist",
            ports=ports,
            minio_user=user,
            minio_password=password,
            workers=workers,
            worker_cores=cores,
            worker_memory=environ.get("SPARK_WORKER_MEMORY") or "2g",
        )

    @property
    def servers(self) -> tuple[str, ...]:
        """The names of all servers."""
        more = (f"spark-worker-{number}" for number in range(2, self.workers + 1))
        return ("kafka", "spark-master", "spark-worker", *more, "minio", "elasticsearch")

    def data(self, server: str) -> Path:
        """The folder that holds one server's data."""
        return self.home / "data" / server

    def address(self, port: str) -> str:
        """`127.0.0.1:PORT` for a port setting."""
        return f"127.0.0.1:{self.ports[port]}"
