"""Recognise a source by its content, and acquire it so that no other run ingests it at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from customer_profiles.common.console import printable
from customer_profiles.contracts import PROGRESS, RAW_EVENTS, InvalidMessages
from customer_profiles.ingestion.blocks import prefix_digests
from customer_profiles.ingestion.inputs import CsvInput
from customer_profiles.ingestion.progress import Progress, new_source_name, read_progress
from customer_profiles.kafka.admin import end_offsets, topic_id
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.producer import create_publisher
from customer_profiles.kafka.source_records import NO_TOPIC

if TYPE_CHECKING:
    from customer_profiles.kafka.producer import Publisher

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SentTo:
    """The topic `raw_events` as it is now."""

    topic_id: str | None
    offsets: int | None
    """The sum of the end offsets of all partitions; None where no record needs it."""

    def has(self, record: Progress) -> bool:
        """Tell whether the events that a record counts were sent to this topic.

        The topic may have been deleted and made anew, and messages may have been removed from it
        before they were read, which processing notes in the record.
        """
        if record.topic_id is None:
            # Old versions did not note the topic. One with fewer offsets is certainly another one.
            return self.offsets is None or self.offsets >= record.accepted
        return record.topic_id != NO_TOPIC and self.topic_id in (None, record.topic_id)


@dataclass(frozen=True, slots=True)
class Source:
    """A source: its name, and its progress if it was ingested before."""

    name: str
    progress: Progress | None
    topic_id: str | None = None
    """Kafka's id of the topic that the events go to."""
    lost: Progress | None = None
    """The record of a source whose events are not all in the topic any more."""
    invalid_records: int = 0
    """Messages in the topic of progress that could not be read and had no effect."""


def current_topic(config: KafkaConfig, records: Iterable[Progress]) -> SentTo:
    """Return the topic `raw_events` as it is now.

    Args:
        config: where Kafka is.
        records: the progress records that are to be compared with the topic.

    Raises:
        PipelineError: Kafka does not answer, or there is no such topic.
    """
    offsets = None
    if any(record.topic_id is None for record in records):
        offsets = sum(end_offsets(config, RAW_EVENTS).values())
    return SentTo(topic_id(config), offsets)


def identify_source(
    csv_input: CsvInput, records: Mapping[str, Progress], topic: SentTo | None = None
) -> Source:
    """Recognise a source by the longest prefix of the input that a progress record covers.

    Args:
        csv_input: the input; stays readable from its beginning.
        records: the newest progress record of every source, by name.
        topic: the topic that the records have to refer to; None if that does not matter.

    Returns:
        The source that the prefix belongs to, else a new source named after the input.

    Raises:
        PipelineError: the input cannot be read.
    """
    # Many files begin with the same header, and a record without rows covers nothing else.
    records = {name: record for name, record in records.items() if record.read}
    by_digest = {record.digest: record for record in records.values()}
    ends = sorted({record.end for record in records.values()})
    longest: Progress | None = None
    for end, digest in prefix_digests(csv_input, ends):
        record = by_digest.get(digest)
        if record and record.end == end:
            longest = record
    topic_id = topic.topic_id if topic else None
    if longest and topic and not topic.has(longest):
        return Source(longest.source, None, topic_id, lost=longest)
    if longest:
        return Source(longest.source, longest, topic_id)
    return Source(new_source_name(csv_input.name, records), None, topic_id)


def acquire_source(
    csv_input: CsvInput, config: KafkaConfig, client: str, on_wait: Callable[[], None]
) -> tuple[Source, Publisher]:
    """Identify the source of an input and fence every other run that ingests it.

    Args:
        csv_input: the input; stays readable from its beginning.
        config: where Kafka is.
        client: the client library that publishes, one of `kafka.producer.CLIENTS`.
        on_wait: called when another run's open transaction has to end first.

    Returns:
        The source, and a publisher that owns it.

    Raises:
        PipelineError: the input cannot be read, or Kafka does not answer.
    """
    records = read_progress(config)
    topic = current_topic(config, records.values())
    source = identify_source(csv_input, records, topic)
    while True:
        publisher = create_publisher(client, config, source.name)
        # Identify the source once more. The run that was just fenced may have committed in between,
        # another input may have claimed the name, and open transactions may have hidden records.
        invalid = InvalidMessages(PROGRESS.name)
        records = read_progress(
            config, wait_for_open_transactions=True, on_wait=on_wait, invalid=invalid
        )
        current = identify_source(csv_input, records, topic)
        if current.name == source.name:
            log_invalid(invalid)
            return replace(current, invalid_records=invalid.count), publisher
        publisher.close()
        source = current


def log_invalid(invalid: InvalidMessages) -> None:
    """Warn about messages that could not be read, in one line, if there are any."""
    if invalid.count:
        logger.warning("%s", printable(str(invalid)), extra={"event": "invalid_messages"})
