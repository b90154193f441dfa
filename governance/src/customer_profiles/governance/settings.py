"""Settings of the governance commands."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from customer_profiles.common import defaults
from customer_profiles.common.settings import LakeSettings, LogSettings


class Settings(LakeSettings, LogSettings):
    """Where the lake is, and which rules assign segments."""

    segments: Path | None = Field(
        None,
        validation_alias="SEGMENTS",
        description="File with the rules for customer segments.",
        examples=[defaults.SEGMENTS],
    )
