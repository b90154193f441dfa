"""Recognise a source by its content, and acquire it so that no other run ingests it at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from customer_profiles.ingestion.blocks import prefix_digests
from customer_profiles.ingestion.inputs import CsvInput
from customer_profiles.ingestion.progress import Progress, new_source_name, read_progress
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.producer import create_publisher

if TYPE_CHECKING:
    from customer_profiles.kafka.producer import Publisher


@dataclass(frozen=True, slots=True)
class Source:
    """A source: its name, and its progress if it was ingested before."""

    name: str
    progress: Progress | None


def identify_source(csv_input: CsvInput, records: Mapping[str, Progress]) -> Source:
    """Recognise a source by the longest prefix of the input that a progress record covers.

    Args:
        csv_input: the input; stays readable from its beginning.
        records: the newest progress record of every source, by name.

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
    if longest:
        return Source(longest.source, longest)
    return Source(new_source_name(csv_input.name, records), None)


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
    source = identify_source(csv_input, read_progress(config))
    while True:
        publisher = create_publisher(client, config, source.name)
        # Identify the source once more. The run that was just fenced may have committed in between,
        # another input may have claimed the name, and open transactions may have hidden records.
        records = read_progress(config, wait_for_open_transactions=True, on_wait=on_wait)
        current = identify_source(csv_input, records)
        if current.name == source.name:
            return current, publisher
        publisher.close()
        source = current
