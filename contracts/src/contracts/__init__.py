"""What an event is: the one place where both applications read it.

* `event`: columns, message fields, `event_id`, encoding
* `rules`: when a row is an event, and the reasons why it is not
* `topics`: topics with partitions and retention
* `buckets`: which bucket a customer belongs to
"""

from contracts.buckets import bucket_of
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
from contracts.rules import Reason, check
from contracts.topics import DEAD_LETTERS, PROGRESS, RAW_EVENTS, TOPICS, Topic

__all__ = [
    "COLUMNS",
    "DEAD_LETTERS",
    "EVENT_TYPES",
    "MESSAGE_FIELDS",
    "PROGRESS",
    "RAW_EVENTS",
    "SCHEMA_VERSION",
    "TOPICS",
    "InvalidMessage",
    "Reason",
    "Topic",
    "bucket_of",
    "check",
    "decode",
    "encode",
    "event_id",
]
