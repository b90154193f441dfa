"""Settings of the ingestion."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, Field

from customer_profiles.common import defaults
from customer_profiles.common.setting_types import Flag, Percentage, number_between, one_of
from customer_profiles.common.settings import KafkaSettings, LogSettings, ReportSettings
from customer_profiles.kafka.config import KafkaConfig

BlockMb = Annotated[float, number_between(defaults.MIN_BLOCK_MB, defaults.MAX_BLOCK_MB)]


class Settings(KafkaSettings, ReportSettings, LogSettings):
    """Settings of the ingestion. Every one has a default that fits the stack."""

    max_rejected_percent: Percentage = Field(
        defaults.MAX_REJECTED_PERCENT,
        # The old name goes with the next release.
        validation_alias=AliasChoices("MAX_REJECTED_PERCENT", "MAX_REJECTED"),
        description="Percentage of rejected rows above which an ingestion stops.",
    )
    keep_duplicates: Flag = Field(
        False,
        validation_alias="KEEP_DUPLICATES",
        description="Send exact repeats, too. Profiles count each event once all the same.",
    )
    reingest: Flag = Field(
        False,
        validation_alias="REINGEST",
        description="Send a source again from its beginning, even if it was ingested before.",
    )
    strict: Flag = Field(
        False,
        validation_alias="STRICT",
        description="Reject values in foreign forms, which are otherwise read and counted.",
    )
    block_mb: BlockMb = Field(
        defaults.BLOCK_MB,
        validation_alias="BLOCK_MB",
        description="Mebibytes of text in one transaction. Peak memory ≈ 150 MB + 45 × `BLOCK_MB`.",  # noqa: RUF001
    )
    kafka_client: Annotated[str, one_of(defaults.KAFKA_CLIENTS)] = Field(
        defaults.KAFKA_CLIENT,
        validation_alias="KAFKA_CLIENT",
        description="Client library that publishes: " + ", ".join(defaults.KAFKA_CLIENTS) + ".",
    )

    @property
    def kafka(self) -> KafkaConfig:
        """The connection to Kafka."""
        return KafkaConfig.from_settings(self)

    @property
    def max_rejected_share(self) -> float:
        """`max_rejected_percent` as a number from 0 to 1."""
        return self.max_rejected_percent / 100

    @property
    def block_bytes(self) -> int:
        """`block_mb` in bytes."""
        return round(self.block_mb * 1024 * 1024)
