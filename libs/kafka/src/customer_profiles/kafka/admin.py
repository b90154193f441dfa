"""Create the contract's topics, and read which topic there is and which offsets it has."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import RAW_EVENTS, TOPICS, Topic
from customer_profiles.kafka.config import ANSWER_S, KafkaConfig
from customer_profiles.kafka.consumer import create_consumer
from customer_profiles.kafka.errors import BrokerUnavailableError
from customer_profiles.kafka.identity import check_cluster, no_answer

if TYPE_CHECKING:
    from concurrent.futures import Future

    from confluent_kafka.admin import AdminClient

RETRY_S = 0.1
"""Between two attempts of a request."""
_NO_LEADER_YET = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
"""What a broker answers for partitions of a topic that was just created."""
_NO_ID = "A" * 22
"""The id of a topic on a broker before Kafka 2.8, which gives none."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic at one moment."""

    topic_id: str | None
    """Kafka's id of the topic. A topic that is deleted and made anew has the same name and another
    id. None where the broker gives no ids."""
    watermarks: Mapping[int, tuple[int, int]]
    """Each partition's first offset, and the offset after its last committed message."""


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
            raise _missing(topic)
        try:
            return {
                partition: consumer.get_watermark_offsets(
                    TopicPartition(topic.name, partition), timeout=ANSWER_S
                )
                for partition in topics[topic.name].partitions
            }
        except KafkaException as error:
            raise _stopped_answering(config, error) from error


def topic_state(config: KafkaConfig, topic: Topic = RAW_EVENTS) -> TopicState:
    """Return which topic there is and which offsets it has.

    Raises:
        BrokerUnavailableError: no broker answers.
        PipelineError: the topic does not exist yet.
    """
    # Both requests are under way at once. The client has to outlive its request.
    client = _admin_client(config)
    description = _describe(client, topic)
    offsets = watermarks(config, topic)
    return TopicState(_id_of(config, topic, description), offsets)


def topic_id(config: KafkaConfig, topic: Topic = RAW_EVENTS) -> str | None:
    """Return Kafka's id of a topic; None where the broker gives no ids.

    Raises:
        BrokerUnavailableError: no broker answers.
        PipelineError: the topic does not exist yet.
    """
    client = _admin_client(config)
    return _id_of(config, topic, _describe(client, topic))


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
    deadline = time.monotonic() + ANSWER_S
    while True:
        try:
            answers = client.list_offsets(requests, request_timeout=ANSWER_S)
            return {
                request.partition: answer.result().offset for request, answer in answers.items()
            }
        except KafkaException as error:
            if error.args[0].code() not in _NO_LEADER_YET or time.monotonic() > deadline:
                raise _stopped_answering(config, error) from error
            time.sleep(RETRY_S)


def _admin_client(config: KafkaConfig) -> AdminClient:
    # Spark's tasks read ranges without an admin client: loading it late saves each of them 8 ms.
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415

    return AdminClient({**config.client_settings(), "log_level": 0})


def _describe(client: AdminClient, topic: Topic) -> Future[Any]:
    from confluent_kafka import TopicCollection  # noqa: PLC0415

    topics = TopicCollection([topic.name])
    return client.describe_topics(topics, request_timeout=ANSWER_S)[topic.name]


def _id_of(config: KafkaConfig, topic: Topic, description: Future[Any]) -> str | None:
    try:
        identifier = str(description.result().topic_id)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise _missing(topic) from error
        raise _stopped_answering(config, error) from error
    return None if identifier == _NO_ID else identifier


def _missing(topic: Topic) -> PipelineError:
    return PipelineError(f"There is no topic {topic.name} yet.\nRun `make ingest` first.")


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
