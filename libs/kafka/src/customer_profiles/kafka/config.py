"""How to reach the Kafka brokers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from pydantic import SecretStr

ANSWER_S = 10.0
"""Longest wait for the answer to one request, in seconds."""


class _KafkaSettings(Protocol):
    """The part of an application's settings that this library reads."""

    @property
    def kafka_bootstrap_servers(self) -> str: ...

    @property
    def kafka_security_protocol(self) -> str: ...

    @property
    def kafka_user(self) -> str: ...

    @property
    def kafka_password(self) -> SecretStr: ...

    @property
    def kafka_cluster_id(self) -> str: ...


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """The connection to a Kafka cluster. Small and picklable: Spark sends it with every task."""

    bootstrap_servers: str
    """Addresses of brokers as `host:port`, separated by commas."""

    security_protocol: str = "PLAINTEXT"
    """`PLAINTEXT`, or `SASL_PLAINTEXT` with a user and a password."""
    user: str = ""
    password: str = field(default="", repr=False)
    cluster_id: str = ""
    """The id of the cluster that must answer; empty if any cluster may."""

    @classmethod
    def from_settings(cls, settings: _KafkaSettings) -> Self:
        """Take the connection from an application's settings.

        Args:
            settings: any object with the fields of `common.settings.KafkaSettings`.
        """
        return cls(
            bootstrap_servers=settings.kafka_bootstrap_servers,
            security_protocol=settings.kafka_security_protocol,
            user=settings.kafka_user,
            password=settings.kafka_password.get_secret_value(),
            cluster_id=settings.kafka_cluster_id,
        )

    def client_settings(self) -> dict[str, str]:
        """Return the connection settings that every client shares, under librdkafka's names.

        Consumers, admin clients and all producers add these settings to their own. kafka-python
        has other names for them (`kafka_python.connection_options`).
        """
        settings = {"bootstrap.servers": self.bootstrap_servers}
        if self.security_protocol == "PLAINTEXT":
            return settings
        return {
            **settings,
            "security.protocol": self.security_protocol,
            "sasl.mechanism": "PLAIN",
            "sasl.username": self.user,
            "sasl.password": self.password,
        }
