"""What an event is: the one place where both applications read it.

* `event`: columns, message fields, `event_id`, encoding
* `rules`: when a row is an event, and the reasons why it is not
* `dead_letter`: what becomes of a row that is none
* `topics`: topics with partitions and retention
* `buckets`: which bucket a customer belongs to
"""

from contracts.buckets import bucket_of
from contracts.dead_letter import BREAKS_CONTRACT, DeadLetter
from contracts.event import (
    COLUMNS,
    EVENT_TYPES,
    MESSAGE_FIELDS,
    SCHEMA_VERSION,
    InvalidMessage,
    decode,
    encode,
    event_id,
)
from contracts.rules import Reason, canonical_time, check
from contracts.topics import DEAD_LETTERS, PROGRESS, RAW_EVENTS, REPLAYED, TOPICS, Topic

__all__ = [
    "BREAKS_CONTRACT",
    "COLUMNS",
    "DEAD_LETTERS",
    "EVENT_TYPES",
    "MESSAGE_FIELDS",
    "PROGRESS",
    "RAW_EVENTS",
    "REPLAYED",
    "SCHEMA_VERSION",
    "TOPICS",
    "DeadLetter",
    "InvalidMessage",
    "Reason",
    "Topic",
    "bucket_of",
    "canonical_time",
    "check",
    "decode",
    "encode",
    "event_id",
]
