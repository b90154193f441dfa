"""The one place with the settings of Kafka consumers."""

from __future__ import annotations

from typing import Literal

from confluent_kafka import Consumer

from customer_profiles.kafka.config import KafkaConfig


def create_consumer(
    config: KafkaConfig, auto_offset_reset: Literal["error", "earliest"] = "error"
) -> Consumer:
    """Create a consumer that reads committed messages and reports the end of each partition.

    The consumer joins no group and commits no offsets: its user assigns partitions and offsets.

    Args:
        config: how to reach the brokers.
        auto_offset_reset: what happens when an assigned offset is gone. "error" reports it.
            "earliest" continues at the first offset that the partition still has.
    """
    return Consumer(
        {
            **config.client_settings(),
            # librdkafka requires a group name even though the consumer joins no group.
            "group.id": "customer-profiles",
            "enable.auto.commit": False,
            # Messages of an aborted or open transaction are not events.
            "isolation.level": "read_committed",
            "auto.offset.reset": auto_offset_reset,
            "enable.partition.eof": True,
            # A short queue limits how far the consumer reads past the end of a range.
            "queued.max.messages.kbytes": 4 * 1024,
            # By default a full queue delays the next fetch by a second, which is longer than it
            # takes to read a hundred thousand messages.
            "fetch.queue.backoff.ms": 5,
            "max.partition.fetch.bytes": 2 * 1024 * 1024,
            "fetch.wait.max.ms": 100,
            "log_level": 0,
        }
    )
