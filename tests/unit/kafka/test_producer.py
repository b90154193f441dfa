"""The publisher behind each client's name, and what all clients have in common."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.kafka import confluent, kafka_python, librdkafka
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.producer import CLIENTS, create_publisher

CONFIG = KafkaConfig("broker:9092")
PUBLISHERS = {
    "librdkafka": (librdkafka, "LibrdkafkaPublisher"),
    "confluent-kafka": (confluent, "ConfluentPublisher"),
    "kafka-python": (kafka_python, "KafkaPythonPublisher"),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_each_client_has_its_publisher(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name = PUBLISHERS[client]
    monkeypatch.setattr(module, name, lambda config, source: (name, config, source))
    publisher: object = create_publisher(client, CONFIG, "events.csv")
    assert publisher == (name, CONFIG, "events.csv")


def test_librdkafka_is_the_default() -> None:
    assert CLIENTS[0] == "librdkafka"


def test_an_unknown_client_is_an_error() -> None:
    with pytest.raises(PipelineError, match="KAFKA_CLIENT=pigeon is none of librdkafka, confluent"):
        create_publisher("pigeon", CONFIG, "events.csv")


@pytest.mark.parametrize(
    ("client", "module"),
    [
        ("librdkafka", "librdkafka"),
        ("confluent-kafka", "confluent"),
        ("kafka-python", "kafka_python"),
    ],
)
def test_a_client_without_its_package_names_the_package(
    client: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"customer_profiles.kafka.{module}", None)
    package = "kafka-python" if client == "kafka-python" else "confluent-kafka"
    with pytest.raises(PipelineError, match=rf"needs the package {package},(.|\n)*`make setup`"):
        create_publisher(client, CONFIG, "events.csv")


def test_kafka_python_knows_every_connection_setting() -> None:
    assert set(CONFIG.client_settings()) == set(kafka_python.CONNECTION_OPTIONS)


def test_the_config_comes_from_any_settings_with_the_brokers() -> None:
    @dataclass
    class Settings:
        kafka_bootstrap_servers: str = "broker:9092"

    assert KafkaConfig.from_settings(Settings()) == CONFIG
