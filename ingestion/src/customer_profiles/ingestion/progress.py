"""How far each source has been ingested: records in the compacted topic `ingest_progress`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from customer_profiles.contracts import PROGRESS
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.reader import read_topic


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of one source, committed in the same transaction as the rows that it counts."""

    source: str
    """The file's name, with a number if another file of that name came before."""
    end: int
    """Decompressed bytes of the source that are in the topics."""
    digest: str
    """SHA-256 of those bytes. It recognises the source by its content, whatever its path."""
    read: int
    accepted: int
    dead_lettered: int
    duplicates: int
    updated_at: str
    """ISO 8601, UTC."""
    topic_id: str | None = None
    """Kafka's id of the topic `raw_events` that has the events; None in records of old versions.

    `kafka.source_records.NO_TOPIC` says that they are not all there any more."""

    def to_json(self) -> str:
        """Encode the record as the value of a message."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, data: bytes | str) -> Progress:
        """Decode a record from the value of a message."""
        return cls(**json.loads(data))


def read_progress(
    config: KafkaConfig,
    *,
    wait_for_open_transactions: bool = False,
    on_wait: Callable[[], None] | None = None,
) -> dict[str, Progress]:
    """Read the newest record of every source.

    Args:
        config: where Kafka is.
        wait_for_open_transactions: as for `read_topic`.
        on_wait: as for `read_topic`.

    Returns:
        Records by the name of their source.

    Raises:
        PipelineError: Kafka does not answer, or a transaction stays open.
    """
    messages = read_topic(
        config,
        PROGRESS,
        wait_for_open_transactions=wait_for_open_transactions,
        on_wait=on_wait,
    )
    records = (Progress.from_json(message.value() or b"") for message in messages)
    return {record.source: record for record in records}


def new_source_name(file_name: str, known_names: Iterable[str]) -> str:
    """Return a name that no source has yet: `events.csv`, then `events.csv#2` and so on."""
    taken = set(known_names)
    number, name = 1, file_name
    while name in taken:
        number += 1
        name = f"{file_name}#{number}"
    return name
