"""Settings that several applications share.

An application composes its settings from the mixins and adds its own fields:

    class Settings(KafkaSettings, ReportSettings, LogSettings):
        buckets: WholeNumber = Field(BUCKETS, validation_alias="BUCKETS", description="…")

    settings = Settings.from_env(load_environ())

Every field has an environment variable (`validation_alias`), a description and a default from
`common.defaults`. `scripts/generate_reference.py` turns them into `docs/reference/settings.md`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr

from customer_profiles.common import defaults
from customer_profiles.common.base_settings import PipelineSettings, environment_names
from customer_profiles.common.environ import load_environ
from customer_profiles.common.setting_types import Port, one_of

__all__ = [
    "KafkaSettings",
    "LakeSettings",
    "LogSettings",
    "PipelineSettings",
    "ReportSettings",
    "SearchSettings",
    "SparkSettings",
    "environment_names",
    "load_environ",
]


def _kafka_security_protocol(fields: dict[str, Any]) -> str:
    protected = bool(fields["kafka_password"].get_secret_value())
    return "SASL_PLAINTEXT" if protected else "PLAINTEXT"


class KafkaSettings(PipelineSettings):
    """Where Kafka is, and the account to use."""

    kafka_port: Port = Field(
        defaults.PORTS["KAFKA_PORT"],
        validation_alias="KAFKA_PORT",
        description="Port of Kafka's listener for clients.",
    )
    kafka_bootstrap_servers: str = Field(
        default_factory=lambda fields: f"{defaults.HOST}:{fields['kafka_port']}",
        validation_alias="KAFKA_BOOTSTRAP_SERVERS",
        description="Address of Kafka. Derived from `KAFKA_PORT` unless set.",
        examples=[f"{defaults.HOST}:{defaults.PORTS['KAFKA_PORT']}"],
    )
    kafka_user: str = Field(
        defaults.KAFKA_USER,
        validation_alias="KAFKA_USER",
        description="Kafka's account.",
    )
    kafka_password: SecretStr = Field(
        SecretStr(""),
        validation_alias="KAFKA_PASSWORD",
        description="Password of Kafka's account. `make setup` generates it.",
    )
    kafka_security_protocol: Annotated[str, one_of(defaults.KAFKA_SECURITY_PROTOCOLS)] = Field(
        default_factory=_kafka_security_protocol,
        validation_alias="KAFKA_SECURITY_PROTOCOL",
        description="`SASL_PLAINTEXT` with a password, or `PLAINTEXT` for a broker of your own "
        "that has no accounts. Derived from `KAFKA_PASSWORD` unless set.",
        examples=["SASL_PLAINTEXT"],
    )
    stack_home: Path = Field(
        Path(defaults.STACK_HOME),
        validation_alias="STACK_HOME",
        description="Folder of the native stack: data, logs and built servers.",
    )

    @property
    def kafka_cluster_id(self) -> str:
        """The id that this folder's native Kafka was created with.

        Empty where there is no such Kafka, or `KAFKA_BOOTSTRAP_SERVERS` names another one.
        """
        if self.kafka_bootstrap_servers != f"{defaults.HOST}:{self.kafka_port}":
            return ""
        try:
            text = (self.stack_home / defaults.KAFKA_IDENTITY).read_text()
        except OSError:
            return ""
        found = re.search(r"^cluster\.id=(\S+)$", text, re.MULTILINE)
        return found[1] if found else ""


class LakeSettings(PipelineSettings):
    """Where MinIO is, and the account to use."""

    minio_port: Port = Field(
        defaults.PORTS["MINIO_PORT"],
        validation_alias="MINIO_PORT",
        description="Port of MinIO's S3 API.",
    )
    minio_address: str = Field(
        default_factory=lambda fields: f"{defaults.HOST}:{fields['minio_port']}",
        validation_alias="MINIO_ADDRESS",
        description="Address of MinIO's S3 API. Derived from `MINIO_PORT` unless set.",
        examples=[f"{defaults.HOST}:{defaults.PORTS['MINIO_PORT']}"],
    )
    minio_user: str = Field(
        validation_alias="MINIO_ROOT_USER",
        description="User name, which is also the S3 access key. `make setup` writes it.",
    )
    minio_password: SecretStr = Field(
        validation_alias="MINIO_ROOT_PASSWORD",
        description="Password, which is also the S3 secret key. `make setup` generates it.",
    )


class SearchSettings(PipelineSettings):
    """Where Elasticsearch is, and the account to use."""

    elasticsearch_port: Port = Field(
        defaults.PORTS["ELASTICSEARCH_PORT"],
        validation_alias="ELASTICSEARCH_PORT",
        description="Port of Elasticsearch's HTTP API.",
    )
    elasticsearch_url: str = Field(
        default_factory=lambda fields: f"http://{defaults.HOST}:{fields['elasticsearch_port']}",
        validation_alias="ELASTICSEARCH_URL",
        description="Address of Elasticsearch. Derived from `ELASTICSEARCH_PORT` unless set.",
        examples=[f"http://{defaults.HOST}:{defaults.PORTS['ELASTICSEARCH_PORT']}"],
    )
    elasticsearch_shown_url: str = Field(
        "",
        validation_alias="ELASTICSEARCH_SHOWN_URL",
        description="Address at which people reach Elasticsearch, where it differs from "
        "`ELASTICSEARCH_URL`. Compose sets it.",
    )
    elasticsearch_user: str = Field(
        defaults.ELASTIC_USER,
        validation_alias="ELASTIC_USER",
        description="Elasticsearch's account.",
    )
    elasticsearch_password: SecretStr = Field(
        SecretStr(""),
        validation_alias="ELASTIC_PASSWORD",
        description="Password of Elasticsearch's account. `make setup` generates it.",
    )


class SparkSettings(PipelineSettings):
    """Where the Spark master is."""

    spark_master_port: Port = Field(
        defaults.PORTS["SPARK_MASTER_PORT"],
        validation_alias="SPARK_MASTER_PORT",
        description="Port of the Spark master.",
    )
    spark_master: str = Field(
        default_factory=lambda fields: f"spark://{defaults.HOST}:{fields['spark_master_port']}",
        validation_alias="SPARK_MASTER_URL",
        description="The Spark master. `local[*]` runs without a cluster. Derived from "
        "`SPARK_MASTER_PORT` unless set.",
        examples=[f"spark://{defaults.HOST}:{defaults.PORTS['SPARK_MASTER_PORT']}"],
    )
    spark_auth_secret: SecretStr = Field(
        SecretStr(""),
        validation_alias="SPARK_AUTH_SECRET",
        description="Secret that Spark's master, workers, driver and executors share. `make setup` "
        "generates it. Empty for a master that asks for none.",
    )


class ReportSettings(PipelineSettings):
    """Where reports go."""

    reports: Path = Field(
        Path(defaults.REPORTS),
        validation_alias="REPORTS",
        description="Folder of the reports. It must be writable.",
    )


class LogSettings(PipelineSettings):
    """What is logged and how. `common.logs.configure_logging` reads the same variables."""

    log_format: Annotated[str, one_of(defaults.LOG_FORMATS)] = Field(
        defaults.LOG_FORMAT,
        validation_alias="LOG_FORMAT",
        description="`text` for people, or `json` for one JSON object per line on standard error.",
    )
    log_level: Annotated[str, one_of(defaults.LOG_LEVELS)] = Field(
        defaults.LOG_LEVEL,
        validation_alias="LOG_LEVEL",
        description=f"Least severe level that is logged: `{'`, `'.join(defaults.LOG_LEVELS)}`.",
    )
