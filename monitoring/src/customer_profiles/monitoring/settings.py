"""Settings of the monitoring application."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from customer_profiles.common import defaults
from customer_profiles.common.setting_types import Port, Seconds
from customer_profiles.common.settings import (
    KafkaSettings,
    LakeSettings,
    LogSettings,
    ReportSettings,
    SearchSettings,
)


class Settings(KafkaSettings, LakeSettings, SearchSettings, ReportSettings, LogSettings):
    """Where the servers are, who is told of alerts, and what counts as healthy."""

    alert_urls: SecretStr = Field(
        SecretStr(""),
        validation_alias="ALERT_URLS",
        description="Addresses of Apprise that get alerts, separated by spaces: mail, chat, "
        "webhooks and more. They hold secrets and are never printed.",
    )
    alertmanager_url: str = Field(
        "",
        validation_alias="ALERTMANAGER_URL",
        description="Address of an Alertmanager, which then delivers the alerts of data quality "
        "instead of `ALERT_URLS`.",
    )
    alert_repeat_s: Seconds = Field(
        defaults.ALERT_REPEAT_S,
        validation_alias="ALERT_REPEAT",
        description="Seconds before an alert that lasts is told again.",
    )
    alert_group_s: Seconds = Field(
        defaults.ALERT_GROUP_S,
        validation_alias="ALERT_GROUP",
        description="Least seconds between two messages about alerts.",
    )
    alert_interval_s: Seconds = Field(
        defaults.ALERT_INTERVAL_S,
        validation_alias="ALERT_INTERVAL",
        description="Seconds between two evaluations of alerts by the monitoring service.",
    )
    monitoring_host: str = Field(
        defaults.HOST,
        validation_alias="MONITORING_HOST",
        description="Address on which the monitoring service listens. Compose sets it.",
    )
    monitoring_port: Port = Field(
        defaults.PORTS["MONITORING_PORT"],
        validation_alias="MONITORING_PORT",
        description="Port of the monitoring service: metrics and health.",
    )
    spark_ui_port: Port = Field(
        defaults.PORTS["SPARK_UI_PORT"],
        validation_alias="SPARK_UI_PORT",
        description="Port of the Spark master's page.",
    )
    spark_ui_url: str = Field(
        default_factory=lambda fields: f"http://{defaults.HOST}:{fields['spark_ui_port']}",
        validation_alias="SPARK_UI_URL",
        description="Address of the Spark master's page. Derived from `SPARK_UI_PORT` unless set.",
        examples=[f"http://{defaults.HOST}:{defaults.PORTS['SPARK_UI_PORT']}"],
    )
    max_lag_s: Seconds = Field(
        defaults.MAX_LAG_S,
        validation_alias="MAX_LAG",
        description="Seconds that an event may wait in the topic before that is unhealthy. While "
        f"a stream runs it is {defaults.MAX_STREAM_LAG_S:g}.",
    )
    min_free_gb: Seconds = Field(
        defaults.MIN_FREE_GB,
        validation_alias="MIN_FREE_GB",
        description="Free gigabytes of the disk below which it is unhealthy.",
    )

    quality_contract: Path | None = Field(
        None,
        validation_alias="QUALITY_CONTRACT",
        description="Data contract with the checks of data quality. `make quality` tells runs its "
        "checks of severity quarantine.",
        examples=[defaults.QUALITY_CONTRACT],
    )
    quality_calendar: Path | None = Field(
        None,
        validation_alias="QUALITY_CALENDAR",
        description="File with special days, on which nothing that is learned is judged.",
        examples=[defaults.QUALITY_CALENDAR],
    )

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of `ALERT_URLS`."""
        return tuple(self.alert_urls.get_secret_value().split())

    @property
    def disk(self) -> Path:
        """A folder on the disk that fills up: that of the stack's data, or of the reports."""
        return self.stack_home if self.stack_home.exists() else self.reports
