"""Settings of the experiments."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from customer_profiles.common import defaults
from customer_profiles.common.setting_types import WholeNumber
from customer_profiles.common.settings import (
    KafkaSettings,
    LakeSettings,
    LogSettings,
    ReportSettings,
    SearchSettings,
)
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.lake.s3_config import S3Config
from customer_profiles.search.client import ElasticsearchConfig


class Settings(KafkaSettings, LakeSettings, SearchSettings, ReportSettings, LogSettings):
    """Where the servers are, and where the files of the experiments are."""

    experiments: Path = Field(
        Path(defaults.EXPERIMENTS),
        validation_alias="EXPERIMENTS",
        description="Folder with the files of experiments, and with `metrics.toml`.",
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

    @property
    def kafka(self) -> KafkaConfig:
        """The connection to Kafka."""
        return KafkaConfig.from_settings(self)

    @property
    def lake(self) -> S3Config:
        """The connection to the lake."""
        return S3Config.from_settings(self)

    @property
    def search(self) -> ElasticsearchConfig:
        """The connection to Elasticsearch."""
        return ElasticsearchConfig.from_settings(self)
