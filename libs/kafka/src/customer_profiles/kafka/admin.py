"""Create the contract's topics, and read the first and last offsets of topics."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import RAW_EVENTS, TOPICS, Topic
from customer_profiles.kafka.config import ANSWER_S, KafkaConfig
from customer_profiles.kafka.consumer import create_consumer
from customer_profiles.kafka.errors import BrokerUnavailableError
from customer_profiles.kafka.identity import check_cluster, no_answer

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient


def ensure_topics(config: KafkaConfig) -> None:
    """Create the contract's topics where they are missing.

    Raises:
        BrokerUnavailableError: no broker answers.
        PipelineError: a topic cannot be created.
    """
    client = _admin_client(config)
    existing = _list_topics(client, config)
    missing = [topic for topic in TOPICS if topic.name not in existing]
    if not missing:
        return
    _create_topics(client, missing)
    # A topic exists before every broker knows its leader.
    deadline = time.monotonic() + ANSWER_S
    names = {topic.name for topic in missing}
    while not names <= set(_list_topics(client, config)):
        if time.monotonic() > deadline:
            raise BrokerUnavailableError(
                f"Kafka did not show its new topics within {ANSWER_S:.0f} s. Run the command again."
            )


def watermarks(config: KafkaConfig, topic: Topic = RAW_EVENTS) -> dict[int, tuple[int, int]]:
    """Return each partition's first offset and the offset after its last committed message.

    The second offset stays before the first message of an open transaction.

    Raises:
        BrokerUnavailableError: no broker answers.
        PipelineError: the topic does not exist yet.
    """
    with closing(create_consumer(config)) as consumer:
        topics = _list_topics(consumer, config)
        if topic.name not in topics:
            raise PipelineError(f"There is no topic {topic.name} yet.\nRun `make ingest` first.")
        try:
            return {
                partition: consumer.get_watermark_offsets(
                    TopicPartition(topic.name, partition), timeout=ANSWER_S
                )
                for partition in topics[topic.name].partitions
            }
        except KafkaException as error:
            raise _stopped_answering(config, error) from error


def end_offsets(config: KafkaConfig, topic: Topic) -> dict[int, int]:
    """Return the end offset of each partition, messages of open transactions included.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]  # noqa: PLC0415

    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    requests = {TopicPartition(topic.name, number): latest for number in range(topic.partitions)}
    # The client has to outlive its requests: their futures never finish without it.
    client = _admin_client(config)
    try:
        answers = client.list_offsets(requests, request_timeout=ANSWER_S)
        return {request.partition: answer.result().offset for request, answer in answers.items()}
    except KafkaException as error:
        raise _stopped_answering(config, error) from error


def _admin_client(config: KafkaConfig) -> AdminClient:
    # Spark's tasks read ranges without an admin client: loading it late saves each of them 8 ms.
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415

    return AdminClient({**config.client_settings(), "log_level": 0})


def _list_topics(client: AdminClient | Consumer, config: KafkaConfig) -> Mapping[str, Any]:
    try:
        metadata: Any = client.list_topics(timeout=ANSWER_S)
    except KafkaException as error:
        raise no_answer(config, ANSWER_S) from error
    check_cluster(config, metadata.cluster_id)
    topics: Mapping[str, Any] = metadata.topics
    return topics


def _create_topics(client: AdminClient, topics: Iterable[Topic]) -> None:
    from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]  # noqa: PLC0415

    new_topics = [
        NewTopic(topic.name, num_partitions=topic.partitions, config=dict(topic.config))
        for topic in topics
    ]
    creations = client.create_topics(new_topics, request_timeout=ANSWER_S)
    for name, creation in creations.items():
        try:
            creation.result()
        except KafkaException as error:
            # Another process may have created the topic in the meantime.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise PipelineError(
                    f"The topic {name} could not be created: {error}. "
                    "Run `make status`, then the same command again."
                ) from error


def _stopped_answering(config: KafkaConfig, error: KafkaException) -> BrokerUnavailableError:
    return BrokerUnavailableError(
        f"Kafka on {config.bootstrap_servers} stopped answering: {error}. Run `make status`."
    )
