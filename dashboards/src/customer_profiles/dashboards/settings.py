"""Settings of the dashboards."""

from __future__ import annotations

from pydantic import Field

from customer_profiles.common.defaults import PORTS
from customer_profiles.common.setting_types import Port
from customer_profiles.common.settings import (
    LakeSettings,
    LogSettings,
    ReportSettings,
    SearchSettings,
)


class Settings(LakeSettings, SearchSettings, ReportSettings, LogSettings):
    """Where the lake, Elasticsearch and reports are, and the port of the page."""

    dashboard_port: Port = Field(
        PORTS["DASHBOARD_PORT"],
        validation_alias="DASHBOARD_PORT",
        description="Port of the page that `make dashboard` serves.",
    )
