"""Settings of the processing application."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr

from customer_profiles.common import defaults
from customer_profiles.common.setting_types import Port, Seconds, WholeNumber
from customer_profiles.common.settings import (
    KafkaSettings,
    LakeSettings,
    LogSettings,
    ReportSettings,
    SearchSettings,
    SparkSettings,
)


def _class_archives(fields: dict[str, Any]) -> Path:
    return fields["stack_dist"] or Path(fields["stack_home"]) / "dist"


class Settings(
    KafkaSettings, LakeSettings, SearchSettings, SparkSettings, ReportSettings, LogSettings
):
    """Where the servers are and how much is done at once."""

    minio_jobs_password: SecretStr = Field(
        SecretStr(""),
        validation_alias="MINIO_JOBS_PASSWORD",
        description="Password of MinIO's account `profiles-jobs`, which can use the lake and "
        "nothing else. Jobs in containers use it. `make setup` generates it.",
    )
    elastic_jobs_password: SecretStr = Field(
        SecretStr(""),
        validation_alias="ELASTIC_JOBS_PASSWORD",
        description="Password of Elasticsearch's account `profiles-jobs`, which can use the "
        "indices of this project and nothing else. Jobs in containers use it. `make setup` "
        "generates it.",
    )
    elastic_reader_password: SecretStr = Field(
        SecretStr(""),
        validation_alias="ELASTIC_READER_PASSWORD",
        description="Password of the account `profiles-reader`, which can only read. Empty where "
        "Elasticsearch has no accounts.",
    )
    kibana_password: SecretStr = Field(
        SecretStr(""),
        validation_alias="KIBANA_PASSWORD",
        description="Password of the account `kibana_system`.",
    )
    spark_ui_port: Port = Field(
        defaults.PORTS["SPARK_UI_PORT"],
        validation_alias="SPARK_UI_PORT",
        description="Port of the Spark master's page.",
    )
    driver_host: str = Field(
        defaults.HOST,
        validation_alias="SPARK_DRIVER_HOST",
        description="Address at which executors reach the driver.",
    )
    executor_memory: str = Field(
        defaults.SPARK_EXECUTOR_MEMORY,
        validation_alias="SPARK_EXECUTOR_MEMORY",
        description="Java heap of each executor.",
    )
    workers: WholeNumber = Field(
        defaults.SPARK_WORKERS,
        validation_alias="SPARK_WORKERS",
        description="Number of Spark workers.",
    )
    worker_cores: WholeNumber = Field(
        defaults.SPARK_WORKER_CORES,
        validation_alias="SPARK_WORKER_CORES",
        description="Cores of each Spark worker.",
    )
    worker_wait_s: WholeNumber = Field(
        defaults.SPARK_WORKER_WAIT_S,
        validation_alias="SPARK_WORKER_WAIT",
        description="Seconds that a run waits for a Spark worker before it gives up.",
    )
    stack_dist: Path | None = Field(
        None,
        validation_alias="STACK_DIST",
        description="Folder of the built servers. Derived from `STACK_HOME` unless set.",
        examples=[defaults.STACK_DIST],
    )
    class_archives_folder: Path = Field(
        default_factory=_class_archives,
        validation_alias="SPARK_CLASS_ARCHIVES",
        description="Folder in which Java keeps what makes Spark's next start fast. Driver and "
        "executors use the same path.",
        examples=[defaults.STACK_DIST],
    )
    segments: Path | None = Field(
        None,
        validation_alias="SEGMENTS",
        description="File with the rules for customer segments. `make rebuild` applies changed "
        "rules to every customer.",
        examples=[defaults.SEGMENTS],
    )
    buckets: WholeNumber = Field(
        defaults.BUCKETS,
        validation_alias="BUCKETS",
        description="Number of buckets that customers are divided into. It is fixed once the lake "
        "holds data.",
    )
    batch_events: WholeNumber = Field(
        defaults.BATCH_EVENTS,
        validation_alias="BATCH_EVENTS",
        description="Most events in one micro-batch, which bounds the memory of a run.",
    )
    stream_interval_s: Seconds = Field(
        defaults.STREAM_INTERVAL_S,
        validation_alias="STREAM_INTERVAL",
        description="Least seconds from one micro-batch of a stream to the next.",
    )

    metrics_port: Port | None = Field(
        None,
        validation_alias="METRICS_PORT",
        description="Port on loopback at which a stream serves its metrics. Unset: it only writes "
        "them into `REPORTS/metrics/stream.prom`.",
    )

    @property
    def cores(self) -> int:
        """Cores of all workers: how many tasks run at once."""
        return self.workers * self.worker_cores

    @property
    def class_archives(self) -> Path | None:
        """The folder of class archives as an absolute path; None where it does not exist."""
        folder = self.class_archives_folder.resolve()
        return folder if folder.is_dir() else None
