"""Create the publisher of a client library. Only the chosen library is imported."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from customer_profiles.common.defaults import KAFKA_CLIENTS
from customer_profiles.common.errors import PipelineError
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.publisher import (
    COMMIT_S,
    INIT_S,
    TRANSACTION_S,
    Publisher,
    transactional_id,
)

__all__ = [
    "CLIENTS",
    "COMMIT_S",
    "INIT_S",
    "TRANSACTION_S",
    "Publisher",
    "create_publisher",
    "publish_records",
    "transactional_id",
]

CLIENTS = KAFKA_CLIENTS
"""The values of KAFKA_CLIENT, the default first.

librdkafka is the C library inside the package confluent-kafka, called directly. confluent-kafka is
that package's own `Producer`. kafka-python is pure Python.
"""


def create_publisher(client: str, config: KafkaConfig, source: str) -> Publisher:
    """Acquire a source with a client library: earlier publishers of the source are fenced.

    Args:
        client: one of `CLIENTS`.
        config: how to reach the brokers.
        source: the source's name.

    Raises:
        PipelineError: there is no such client, or its package is not installed.
        DeliveryError: the broker does not answer.
    """
    if client not in CLIENTS:
        raise PipelineError(
            f"KAFKA_CLIENT={client} is none of {', '.join(CLIENTS)}.\n"
            "Set it in .env or leave it out."
        )
    try:
        if client == "kafka-python":
            from customer_profiles.kafka.kafka_python import KafkaPythonPublisher  # noqa: PLC0415

            return KafkaPythonPublisher(config, source)
        if client == "confluent-kafka":
            from customer_profiles.kafka.confluent import ConfluentPublisher  # noqa: PLC0415

            return ConfluentPublisher(config, source)
        from customer_profiles.kafka.librdkafka import LibrdkafkaPublisher  # noqa: PLC0415

        return LibrdkafkaPublisher(config, source)
    except ImportError as error:
        package = "kafka-python" if client == "kafka-python" else "confluent-kafka"
        raise PipelineError(
            f"KAFKA_CLIENT={client} needs the package {package}, which is not usable: {error}.\n"
            "Run `make setup`, or set another KAFKA_CLIENT in .env."
        ) from error


def publish_records(
    config: KafkaConfig, source: str, topic: str, records: Mapping[str, str]
) -> None:
    """Write records in one transaction of a source.

    Whoever publishes for the source at this moment is fenced, and cannot write over them.

    Args:
        config: how to reach the brokers.
        source: the source's name.
        topic: the topic to write to.
        records: the values of the messages, by key.

    Raises:
        DeliveryError: the broker does not accept the records.
    """
    publisher = create_publisher(CLIENTS[0], config, source)
    try:
        publisher.begin()
        publisher.send(topic, pl.Series(list(records)), pl.Series(list(records.values())))
        publisher.commit()
    finally:
        publisher.close()
