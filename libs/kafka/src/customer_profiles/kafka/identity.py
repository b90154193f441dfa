"""Whether the Kafka that answers is the right one, and why one does not answer."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from customer_profiles.common.errors import PipelineError
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.errors import BrokerUnavailableError

PROBE_S = 3.0
"""Longest time to find out why a broker does not answer, in seconds."""


def check_cluster(config: KafkaConfig, cluster_id: str | None) -> None:
    """Refuse the Kafka of another stack, before anything is sent to it or read from it.

    Args:
        config: has the id of the right cluster, if that is known.
        cluster_id: the id that the broker gave with its metadata; None if it has none.

    Raises:
        PipelineError: the ids differ.
    """
    if config.cluster_id and cluster_id and cluster_id != config.cluster_id:
        raise PipelineError(
            f"Kafka on {config.bootstrap_servers} is the cluster {cluster_id}, and this folder's "
            f"stack has the cluster {config.cluster_id}: another stack has taken the port.\n"
            "Run `./configure-ports.sh --repick` and `make up`, or correct KAFKA_PORT in .env."
        )


def no_answer(config: KafkaConfig, waited_s: float) -> BrokerUnavailableError:
    """Return the error for a Kafka that did not answer within so many seconds."""
    error = _first_error(config)
    if error and error.code() == KafkaError._AUTHENTICATION:
        return BrokerUnavailableError(
            f"Kafka on {config.bootstrap_servers} refuses the account {config.user} with this "
            "password: it is another stack's, or it was started with another KAFKA_PASSWORD.\n"
            "Correct KAFKA_PORT or KAFKA_PASSWORD in .env; if the password there is new, run "
            "`make down` and `make up`."
        )
    if error and not config.password and _was_connected(error):
        return BrokerUnavailableError(
            f"Kafka on {config.bootstrap_servers} closes connections without a password.\n"
            "Set KAFKA_PASSWORD in .env, or run `make setup`, which does so for a stack of its own."
        )
    return BrokerUnavailableError(
        f"Kafka does not answer on {config.bootstrap_servers} after {waited_s:.0f} s.\n"
        "Run `make up` to start the stack, or `make status` to see what runs."
    )


def _was_connected(error: KafkaError) -> bool:
    """Tell whether the broker took the connection and closed it again."""
    lost = error.code() == KafkaError._TRANSPORT and "Connect to" not in error.str()
    return lost or error.code() == KafkaError._ALL_BROKERS_DOWN


def _first_error(config: KafkaConfig) -> KafkaError | None:
    """Connect once more and return what librdkafka says; None if it says nothing.

    Where a broker takes the connection and closes it again, as one that wants a password does,
    librdkafka often gives no reason, only the summary that all brokers are down.
    """
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415

    errors: list[KafkaError] = []
    settings: dict[str, Any] = {**config.client_settings(), "log_level": 0}
    settings["error_cb"] = errors.append
    client = AdminClient(settings)
    summary: KafkaError | None = None
    deadline = time.monotonic() + PROBE_S
    while time.monotonic() < deadline:
        try:
            client.list_topics(timeout=0.2)
        except KafkaException:
            # The reason arrives through the callback, sometimes after a summary.
            client.poll(0.1)
        for error in errors:
            if error.code() != KafkaError._ALL_BROKERS_DOWN:
                return error
            summary = error
    return summary
