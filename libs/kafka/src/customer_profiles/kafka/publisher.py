"""What a publisher does, and what the publishers of all client libraries share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.errors import DeliveryError, ProducerFencedError

if TYPE_CHECKING:
    import polars as pl

INIT_S = 30.0
"""Longest time to acquire a source, or to abort a transaction, in seconds."""
COMMIT_S = 120.0
"""Longest time to commit a transaction, in seconds."""
TRANSACTION_S = 60
"""Seconds after which the broker aborts a transaction whose producer is gone."""
SLICE_S = 0.5
"""Longest single call into librdkafka, in seconds: Ctrl-C cannot interrupt a call into C."""


class Publisher(Protocol):
    """Publishes messages of one source in transactions: all of a transaction or none is visible.

    Creating a publisher acquires the source: it fences every earlier publisher of that source.

    Every method except `close` raises `DeliveryError` when the broker does not answer in time, and
    `ProducerFencedError` when another publisher has acquired the source.
    """

    def begin(self) -> None:
        """Open a transaction."""

    def send(self, topic: str, keys: pl.Series, values: pl.Series) -> None:
        """Add messages to the open transaction.

        Args:
            topic: the topic's name.
            keys: text (`pl.String`) without nulls.
            values: text (`pl.String`) without nulls, as many as there are keys.
        """

    def commit(self) -> None:
        """Make everything since `begin` visible. Returns once the broker has stored it."""

    def abort(self) -> None:
        """Drop everything since `begin`."""

    def close(self) -> None:
        """Release the connection. The broker drops an open transaction after `TRANSACTION_S`."""


def transactional_id(source: str) -> str:
    """Return the id that all publishers of a source share, so that the newest fences the others."""
    return f"ingest-{source}"


def librdkafka_settings(config: KafkaConfig, source: str) -> dict[str, str]:
    """Return the settings of a transactional producer on librdkafka, for either way to call it."""
    return {
        **config.client_settings(),
        "transactional.id": transactional_id(source),
        "transaction.timeout.ms": str(TRANSACTION_S * 1000),
        # The Java client's default: all clients put a customer into the same partition.
        "partitioner": "murmur2_random",
        "compression.type": "zstd",
        # Level 1 compresses these messages to a sixth, as the default level 3 does, in less time.
        "compression.level": "1",
        "linger.ms": "5",
        "batch.size": "1000000",
        "queue.buffering.max.messages": "2000000",
        "queue.buffering.max.kbytes": str(512 * 1024),
        "log_level": "0",
    }


def fenced_error(source: str) -> ProducerFencedError:
    """Return the error for a publisher whose source another publisher has acquired."""
    return ProducerFencedError(
        f"Another run has taken over the source {source}; this one has stopped and lost nothing."
    )


def delivery_error(reason: str) -> DeliveryError:
    """Return the error for a transaction that Kafka did not accept."""
    return DeliveryError(
        f"Kafka did not accept a transaction: {reason}.\n"
        "Run `make status`, then the same command again: it continues where this run stopped."
    )
