"""The wrong Kafka is refused, and the reason why one does not answer is named."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from confluent_kafka import Producer

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import Topic
from customer_profiles.kafka import admin
from customer_profiles.kafka.admin import ensure_topics, watermarks
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.errors import BrokerUnavailableError
from customer_profiles.kafka.identity import no_answer


@pytest.fixture(scope="module")
def broker() -> Iterator[tuple[KafkaConfig, str]]:
    """Run the mock broker inside librdkafka; return where it is, and the id of its cluster."""
    owner = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    metadata = owner.list_topics(timeout=10)
    (found,) = metadata.brokers.values()
    assert metadata.cluster_id
    yield KafkaConfig(f"{found.host}:{found.port}"), metadata.cluster_id
    del owner


@pytest.mark.parametrize("action", [ensure_topics, watermarks])
def test_the_kafka_of_another_stack_is_refused_before_anything_is_sent(
    action: object, broker: tuple[KafkaConfig, str]
) -> None:
    config, cluster_id = broker
    with pytest.raises(PipelineError) as failure:
        action(replace(config, cluster_id="mine"))  # type: ignore[operator]
    for part in (cluster_id, "mine", config.bootstrap_servers, "--repick", "KAFKA_PORT"):
        assert part in str(failure.value)


def test_the_right_cluster_and_an_unknown_one_are_accepted(
    broker: tuple[KafkaConfig, str],
) -> None:
    config, cluster_id = broker
    for expected in (cluster_id, ""):
        with pytest.raises(PipelineError, match="There is no topic nothing yet"):
            watermarks(replace(config, cluster_id=expected), Topic("nothing", 1))


def test_a_refused_account_is_no_missing_answer(
    broker: tuple[KafkaConfig, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "ANSWER_S", 1.0)
    config, _ = broker
    stranger = replace(
        config, security_protocol="SASL_PLAINTEXT", user="profiles", password="only-for-tests"
    )
    with pytest.raises(BrokerUnavailableError, match="refuses the account profiles") as failure:
        ensure_topics(stranger)
    assert "KAFKA_PASSWORD" in str(failure.value)
    assert "only-for-tests" not in str(failure.value)


class CloseAtOnce(socketserver.BaseRequestHandler):
    """What a broker that wants a password does with a client that sends none."""

    def handle(self) -> None:
        self.request.recv(1)


def test_a_missing_password_is_named() -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), CloseAtOnce) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_address[1]}"
        message = str(no_answer(KafkaConfig(address), 10))
        server.shutdown()
    assert f"{address} closes connections without a password" in message
    assert "`make setup`" in message
    # Nothing listens there any more.
    assert f"does not answer on {address}" in str(no_answer(KafkaConfig(address), 10))
