"""How to reach the Kafka brokers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

ANSWER_S = 10.0
"""Longest wait for the answer to one request, in seconds."""


class _KafkaSettings(Protocol):
    """The part of an application's settings that this library reads."""

    @property
    def kafka_bootstrap_servers(self) -> str: ...


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """The connection to a Kafka cluster. Small and picklable: Spark sends it with every task."""

    bootstrap_servers: str
    """Addresses of brokers as `host:port`, separated by commas."""

    @classmethod
    def from_settings(cls, settings: _KafkaSettings) -> Self:
        """Take the connection from an application's settings.

        Args:
            settings: any object with `kafka_bootstrap_servers`.
        """
        return cls(bootstrap_servers=settings.kafka_bootstrap_servers)

    def client_settings(self) -> dict[str, str]:
        """Return the connection settings that every client shares, under librdkafka's names.

        TLS and SASL settings belong here: consumers, admin clients and all producers add these
        settings to their own. The kafka-python producer translates the names.
        """
        return {"bootstrap.servers": self.bootstrap_servers}
