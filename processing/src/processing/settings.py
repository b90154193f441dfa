"""Settings of the processing, read once from `.env` and the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from processing.errors import ProcessError

LAKE = "data-lake"
"""The MinIO bucket that holds events and profiles."""
DEFAULT_SEGMENTS = Path(__file__).parent / "segments.toml"
"""The rules for customer segments where nobody names others."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the servers are and how much is done at once."""

    bootstrap_servers: str
    minio_address: str
    minio_user: str
    minio_password: str
    elasticsearch_url: str
    elasticsearch_shown_url: str
    """Where people find it, if not where this process does."""
    elasticsearch_password: str
    reader_password: str
    """Of the account that may only read; empty where Elasticsearch has no accounts."""
    kibana_password: str
    spark_master: str
    driver_host: str
    """The address at which the executors reach the driver."""
    executor_memory: str
    cores: int
    """Of all workers: how many tasks there are at once."""
    worker_wait_s: int
    """How long a run waits for a worker before it gives up."""
    class_archives: Path | None
    """A folder in which Java keeps what makes its next start fast; driver and executors use the same path."""
    segments: Path
    """The rules for customer segments."""
    buckets: int
    batch_events: int
    """Events in a micro-batch at the most: what bounds memory."""
    stream_interval_s: float
    """From the beginning of one micro-batch of a stream to that of the next, at the least."""
    reports: Path

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings.

        Raises:
            ProcessError: naming everything that is missing or malformed at once.
        """
        problems: list[str] = []

        def text(name: str, default: str) -> str:
            return environ.get(name) or default

        def required(name: str) -> str:
            if not environ.get(name):
                problems.append(f"{name} is not set")
            return environ.get(name, "")

        def count(name: str, default: int) -> int:
            given = text(name, str(default))
            if not given.isdigit() or int(given) < 1:
                problems.append(f"{name}={given} is not a whole number above 0")
                return default
            return int(given)

        def seconds(name: str, default: float) -> float:
            given = text(name, str(default))
            if not re.fullmatch(r"\d+(\.\d+)?", given) or not float(given):
                problems.append(f"{name}={given} is not a number of seconds above 0")
                return default
            return float(given)

        home = Path(text("STACK_HOME", ".stack"))
        archives = Path(text("SPARK_CLASS_ARCHIVES", text("STACK_DIST", str(home / "dist")))).resolve()
        settings = cls(
            bootstrap_servers=text("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{text('KAFKA_PORT', '9092')}"),
            minio_address=text("MINIO_ADDRESS", f"127.0.0.1:{text('MINIO_PORT', '9000')}"),
            minio_user=required("MINIO_ROOT_USER"),
            minio_password=required("MINIO_ROOT_PASSWORD"),
            elasticsearch_url=text("ELASTICSEARCH_URL", f"http://127.0.0.1:{text('ELASTICSEARCH_PORT', '9200')}"),
            elasticsearch_shown_url=environ.get("ELASTICSEARCH_SHOWN_URL", ""),
            elasticsearch_password=environ.get("ELASTIC_PASSWORD", ""),
            reader_password=environ.get("ELASTIC_READER_PASSWORD", ""),
            kibana_password=environ.get("KIBANA_PASSWORD", ""),
            spark_master=text("SPARK_MASTER_URL", f"spark://127.0.0.1:{text('SPARK_MASTER_PORT', '7077')}"),
            driver_host=text("SPARK_DRIVER_HOST", "127.0.0.1"),
            executor_memory=text("SPARK_EXECUTOR_MEMORY", "768m"),
            cores=count("SPARK_WORKERS", 1) * count("SPARK_WORKER_CORES", 2),
            worker_wait_s=count("SPARK_WORKER_WAIT", 60),
            class_archives=archives if archives.is_dir() else None,
            segments=Path(text("SEGMENTS", str(DEFAULT_SEGMENTS))),
            buckets=count("BUCKETS", 32),
            batch_events=count("BATCH_EVENTS", 1_000_000),
            stream_interval_s=seconds("STREAM_INTERVAL", 2.0),
            reports=Path(text("REPORTS", "reports")),
        )
        if problems:
            raise ProcessError(
                "The settings are not usable: " + "; ".join(problems) + ".\nRun `make setup`, or mend .env."
            )
        return settings
