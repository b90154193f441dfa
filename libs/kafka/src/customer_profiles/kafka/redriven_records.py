"""What `raw_events_replayed` says about redriven rows, for programs that do not redrive.

A redriven row has the source and the row number of its dead letter, so it looks like a row that was
ingested. Its record tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import (
    REPLAYED,
    InvalidMessageError,
    Redriven,
    decode_redriven,
)
from customer_profiles.contracts.progress import NO_TOPIC
from customer_profiles.kafka.admin import topic_id
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.errors import BrokerUnavailableError
from customer_profiles.kafka.producer import publish_records
from customer_profiles.kafka.reader import read_topic

REDRIVE_SOURCE = "dead letters"
"""The source that a redrive acquires, so that only one redrive runs at a time."""


def read_redriven(config: KafkaConfig) -> dict[str, Redriven]:
    """Read the newest record of every redriven dead letter, by the letter's id.

    What is no record is left out. Without the topic there are none.

    Raises:
        BrokerUnavailableError: the broker does not answer.
    """
    try:
        topic_id(config, REPLAYED)
    except BrokerUnavailableError:
        raise
    except PipelineError:
        # Another program has filled `raw_events`.
        return {}
    records: dict[str, Redriven] = {}
    for message in read_topic(config, REPLAYED):
        try:
            dead_letter_id, record = decode_redriven(message.key(), message.value())
        except InvalidMessageError:
            # The next redrive counts and names it.
            continue
        if record is None:
            records.pop(dead_letter_id, None)
        else:
            records[dead_letter_id] = record
    return records


def mark_redriven_lost(config: KafkaConfig, records: Mapping[str, Redriven]) -> None:
    """Open dead letters again whose events were lost before anybody read them.

    Args:
        config: where Kafka is.
        records: the records, by the letter's id.

    Raises:
        DeliveryError: the broker does not accept the records.
    """
    if not records:
        return
    # A redrive that is under way is fenced by that, so it cannot write over the mark.
    lost = {key: replace(each, topic_id=NO_TOPIC).to_json() for key, each in records.items()}
    publish_records(config, REDRIVE_SOURCE, REPLAYED.name, lost)
