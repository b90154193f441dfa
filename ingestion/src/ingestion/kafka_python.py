"""Publish by kafka-python, a client without a line of C: slower, and there wherever Python is."""

from __future__ import annotations

import logging
from collections.abc import Callable

import polars as pl
from kafka import KafkaProducer
from kafka.errors import InvalidProducerEpochError, KafkaError, ProducerFencedError

from ingestion.publish import COMMIT_S, INIT_S, TRANSACTION_S, fenced, not_accepted, transactional_id


class KafkaPythonPublisher:
    """Idempotent transactions, partitioned by kafka-python's default, which is the Java client's."""

    def __init__(self, bootstrap_servers: str, source: str) -> None:
        """Take over the source: an earlier producer of it that still lives is fenced.

        Raises:
            IngestError: the broker does not answer.
        """
        # What it would log comes back as an exception, too.
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        self._source = source
        self._call(lambda: self._connect(bootstrap_servers))

    def _connect(self, bootstrap_servers: str) -> None:
        self._producer = KafkaProducer(
            bootstrap_servers=bootstrap_servers,
            transactional_id=transactional_id(self._source),
            transaction_timeout_ms=TRANSACTION_S * 1000,
            delivery_timeout_ms=int(COMMIT_S * 1000),
            max_block_ms=int(INIT_S * 1000),
            compression_type="zstd",
            linger_ms=20,
            batch_size=256 * 1024,
        )
        self._producer.init_transactions()

    def begin(self) -> None:
        self._call(self._producer.begin_transaction)

    def send(self, topic: str, keys: pl.Series, values: pl.Series) -> None:
        def each() -> None:
            for key, value in zip(keys.to_list(), values.to_list(), strict=True):
                self._producer.send(topic, value.encode(), key.encode())

        self._call(each)

    def commit(self) -> None:
        self._call(self._producer.commit_transaction)

    def abort(self) -> None:
        self._call(self._producer.abort_transaction)

    def close(self) -> None:
        self._producer.close(timeout=0)

    def _call(self, action: Callable[[], object]) -> None:
        try:
            action()
        except (ProducerFencedError, InvalidProducerEpochError) as error:
            raise fenced(self._source) from error
        except KafkaError as error:
            raise not_accepted(str(error) or type(error).__name__) from error
