"""What a task needs to reach the servers, small enough to travel with it."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.lake.s3 import S3Config, S3ObjectStore
from customer_profiles.search.client import ElasticsearchConfig
from customer_profiles.search.profile_index import ProfileIndex

if TYPE_CHECKING:
    # Only the driver has settings. Executors must not import the library that reads them.
    from customer_profiles.processing.settings import Settings


@dataclass(frozen=True, slots=True)
class TaskConfig:
    """Addresses and keys of the servers, and how the lake is cut.

    Tasks do not get the settings themselves: reading those takes a library that would cost each
    executor a tenth of a second.
    """

    kafka: KafkaConfig
    lake: S3Config
    search: ElasticsearchConfig
    buckets: int

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Take over what tasks need from the settings."""
        return cls(
            kafka=KafkaConfig.from_settings(settings),
            lake=S3Config.from_settings(settings),
            search=ElasticsearchConfig.from_settings(settings),
            buckets=settings.buckets,
        )

    def connect_lake(self) -> S3ObjectStore:
        """Connect to the lake."""
        return S3ObjectStore(self.lake)

    def connect_index(self) -> ProfileIndex:
        """Connect to the profiles' indices."""
        return ProfileIndex(self.search)


# Spark collects garbage after each task. Searching all imported modules for it takes longer than
# some of the tasks.
gc.freeze()
