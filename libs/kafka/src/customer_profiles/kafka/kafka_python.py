"""Publish with kafka-python, a client in pure Python: slower, but it needs no C library."""

from __future__ import annotations

import logging
from collections.abc import Callable

import polars as pl
from kafka import KafkaProducer
from kafka.errors import InvalidProducerEpochError, KafkaError, ProducerFencedError

from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.publisher import (
    COMMIT_S,
    INIT_S,
    TRANSACTION_S,
    delivery_error,
    fenced_error,
    transactional_id,
)

CONNECTION_OPTIONS = {
    "bootstrap.servers": "bootstrap_servers",
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
}
"""kafka-python's name of each setting of `KafkaConfig.client_settings`."""


def connection_options(config: KafkaConfig) -> dict[str, str]:
    """Return the connection settings under kafka-python's names."""
    settings = config.client_settings()
    return {CONNECTION_OPTIONS[name]: value for name, value in settings.items()}


class KafkaPythonPublisher:
    """Publishes in idempotent transactions. Its default partitioner is the Java client's."""

    def __init__(self, config: KafkaConfig, source: str) -> None:
        """Acquire the source: an earlier producer of it that is still alive is fenced.

        Raises:
            DeliveryError: the broker does not answer.
        """
        # Everything that kafka-python logs as an error it also raises.
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        self._source = source
        self._call(lambda: self._connect(config))

    def _connect(self, config: KafkaConfig) -> None:
        self._producer = KafkaProducer(
            **connection_options(config),
            transactional_id=transactional_id(self._source),
            transaction_timeout_ms=TRANSACTION_S * 1000,
            delivery_timeout_ms=int(COMMIT_S * 1000),
            max_block_ms=int(INIT_S * 1000),
            bootstrap_timeout_ms=int(INIT_S * 1000),
            compression_type="zstd",
            linger_ms=20,
            batch_size=256 * 1024,
        )
        try:
            self._producer.init_transactions()
        except BaseException:
            self.close()
            raise

    def begin(self) -> None:
        """Open a transaction."""
        self._call(self._producer.begin_transaction)

    def send(self, topic: str, keys: pl.Series, values: pl.Series) -> None:
        """Add messages to the open transaction. Keys and values are text."""

        def send_each() -> None:
            for key, value in zip(keys.to_list(), values.to_list(), strict=True):
                self._producer.send(topic, value.encode(), key.encode())

        self._call(send_each)

    def commit(self) -> None:
        """Make everything since `begin` visible."""
        self._call(self._producer.commit_transaction)

    def abort(self) -> None:
        """Drop everything since `begin`."""
        self._call(self._producer.abort_transaction)

    def close(self) -> None:
        """Release the connection, without waiting for an open transaction."""
        self._producer.close(timeout=0)

    def _call(self, action: Callable[[], object]) -> None:
        try:
            action()
        except (ProducerFencedError, InvalidProducerEpochError) as error:
            raise fenced_error(self._source) from error
        except KafkaError as error:
            raise delivery_error(str(error) or type(error).__name__) from error
