"""Settings that several applications share.

An application composes its settings from the mixins and adds its own fields:

    class Settings(KafkaSettings, ReportSettings, LogSettings):
        buckets: WholeNumber = Field(BUCKETS, validation_alias="BUCKETS", description="…")

    settings = Settings.from_env(load_environ())

Every field has an environment variable (`validation_alias`), a description and a default from
`common.defaults`. `scripts/generate_reference.py` turns them into `docs/reference/settings.md`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    "environment_names",
    "load_environ",
]


class KafkaSettings(PipelineSettings):
    """Where Kafka is."""

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
    """Where Elasticsearch is, and the password of the account `elastic`."""

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
    elasticsearch_password: SecretStr = Field(
        SecretStr(""),
        validation_alias="ELASTIC_PASSWORD",
        description="Password of the account `elastic`. Empty where Elasticsearch has no accounts, "
        "as in the native stack.",
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
