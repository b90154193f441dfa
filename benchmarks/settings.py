"""Settings of the benchmarks, the same as those of the applications that they measure."""

from __future__ import annotations

from pydantic import Field, SecretStr

from customer_profiles.common.defaults import HOST, PORTS
from customer_profiles.common.setting_types import Port
from customer_profiles.common.settings import KafkaSettings, LakeSettings, SearchSettings


class Settings(KafkaSettings, LakeSettings, SearchSettings):
    """Where the servers of a measurement are."""

    spark_master_port: Port = Field(
        PORTS["SPARK_MASTER_PORT"],
        validation_alias="SPARK_MASTER_PORT",
        description="Port of the Spark master.",
    )
    spark_master: str = Field(
        default_factory=lambda fields: f"spark://{HOST}:{fields['spark_master_port']}",
        validation_alias="SPARK_MASTER_URL",
        description="Address of the Spark master. Derived from `SPARK_MASTER_PORT` unless set.",
    )
    spark_auth_secret: SecretStr = Field(
        SecretStr(""),
        validation_alias="SPARK_AUTH_SECRET",
        description="Secret that Spark's processes share.",
    )
