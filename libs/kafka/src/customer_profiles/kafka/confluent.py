"""Publish with confluent-kafka's own `Producer`, one message at a time."""

from __future__ import annotations

import time
from collections.abc import Callable

import polars as pl
from confluent_kafka import KafkaError, KafkaException, Producer

from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.errors import DeliveryError, ProducerFencedError
from customer_profiles.kafka.publisher import (
    COMMIT_S,
    INIT_S,
    SLICE_S,
    delivery_error,
    fenced_error,
    librdkafka_settings,
)

_FENCED = {
    KafkaError._FENCED,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
}


class ConfluentPublisher:
    """Publishes in idempotent transactions, with the Java client's partitioner."""

    def __init__(self, config: KafkaConfig, source: str) -> None:
        """Acquire the source: an earlier producer of it that is still alive is fenced.

        Raises:
            DeliveryError: the broker does not answer.
        """
        self._source = source
        self._producer: Producer | None = None
        try:
            producer = Producer({**librdkafka_settings(config, source)})
        except KafkaException as error:
            raise self._translate(error) from error
        self._retry(producer.init_transactions, INIT_S)
        self._producer = producer

    def begin(self) -> None:
        """Open a transaction."""
        try:
            self._open_producer().begin_transaction()
        except KafkaException as error:
            raise self._translate(error) from error

    def send(self, topic: str, keys: pl.Series, values: pl.Series) -> None:
        """Add messages to the open transaction. Keys and values are text."""
        producer = self._open_producer()
        for key, value in zip(keys.to_list(), values.to_list(), strict=True):
            try:
                producer.produce(topic, value, key)
            except BufferError:
                self._produce_when_there_is_room(topic, key, value)
            except KafkaException as error:
                raise self._translate(error) from error
        # Delivered messages leave the queue only when their delivery reports are collected.
        producer.poll(0)

    def commit(self) -> None:
        """Make everything since `begin` visible."""
        self._retry(self._open_producer().commit_transaction, COMMIT_S)

    def abort(self) -> None:
        """Drop everything since `begin`."""
        self._retry(self._open_producer().abort_transaction, INIT_S)

    def close(self) -> None:
        """Release the connection, without waiting for an open transaction."""
        # `Producer.close` would flush first, and wait for a broker that may be gone.
        self._producer = None

    def _open_producer(self) -> Producer:
        if self._producer is None:
            raise delivery_error("the publisher is closed")
        return self._producer

    def _produce_when_there_is_room(self, topic: str, key: str, value: str) -> None:
        """Wait until delivered messages have left the full queue, then add a message."""
        producer, deadline = self._open_producer(), time.monotonic() + COMMIT_S
        while time.monotonic() < deadline:
            producer.poll(SLICE_S)
            try:
                producer.produce(topic, value, key)
            except BufferError:
                continue
            except KafkaException as error:
                raise self._translate(error) from error
            return
        raise delivery_error(f"the queue of messages stayed full for {COMMIT_S:.0f} s")

    def _retry(self, action: Callable[[float], None], seconds: float) -> None:
        """Repeat an action that may time out until it succeeds or the time is up."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return action(SLICE_S)
            except KafkaException as error:
                failure = error.args[0]
                may_retry = failure.code() == KafkaError._TIMED_OUT or failure.retriable()
                if not may_retry or time.monotonic() > deadline:
                    raise self._translate(error) from error

    def _translate(self, error: KafkaException) -> ProducerFencedError | DeliveryError:
        failure: KafkaError = error.args[0]
        if failure.code() in _FENCED:
            return fenced_error(self._source)
        return delivery_error(failure.str())
