"""The publisher behind each client's name, and what all clients have in common."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from kafka import KafkaProducer
from pydantic import SecretStr

from customer_profiles.common.errors import PipelineError
from customer_profiles.common.settings import KafkaSettings
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


ACCOUNT = KafkaConfig("broker:9092", "SASL_PLAINTEXT", "profiles", "only-for-tests", "id")


def test_every_client_logs_in_with_the_account() -> None:
    assert ACCOUNT.client_settings() == {
        "bootstrap.servers": "broker:9092",
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "profiles",
        "sasl.password": "only-for-tests",
    }
    assert set(ACCOUNT.client_settings()) == set(kafka_python.CONNECTION_OPTIONS)
    options = kafka_python.connection_options(ACCOUNT)
    # kafka-python refuses an option that it does not know.
    assert set(options) <= set(KafkaProducer.DEFAULT_CONFIG)
    assert options["sasl_plain_password"] == "only-for-tests"


def test_a_broker_without_accounts_gets_the_address_alone() -> None:
    assert CONFIG.client_settings() == {"bootstrap.servers": "broker:9092"}
    assert kafka_python.connection_options(CONFIG) == {"bootstrap_servers": "broker:9092"}


def test_the_password_is_not_in_the_repr() -> None:
    assert "only-for-tests" not in repr(ACCOUNT)


def test_the_config_comes_from_the_settings() -> None:
    settings = KafkaSettings(
        kafka_bootstrap_servers="broker:9092", kafka_password=SecretStr("only-for-tests")
    )
    assert KafkaConfig.from_settings(settings) == replace(ACCOUNT, cluster_id="")
