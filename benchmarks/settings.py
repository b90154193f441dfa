"""Settings of the benchmarks, the same as those of the applications that they measure."""

from __future__ import annotations

from customer_profiles.common.settings import (
    KafkaSettings,
    LakeSettings,
    SearchSettings,
    SparkSettings,
)


class Settings(KafkaSettings, LakeSettings, SearchSettings, SparkSettings):
    """Where the servers of a measurement are."""
