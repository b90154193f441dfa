"""What an event is: the contract between all applications. Standard library only.

* `event`: columns, message fields and `event_id`
* `rules`: when a row is an event, and the reasons when it is not
* `leniency`: values as other programs write them, rewritten so that the rules accept them
* `codec`: the message in Kafka, encoded and decoded
* `dead_letters`: what becomes of a row or message that is not an event
* `topics`: topics with partitions and retention
* `buckets`: which bucket a customer belongs to
* `reference`: each reason with a trigger, an example and a remedy
"""

from customer_profiles.contracts.buckets import bucket_of
from customer_profiles.contracts.codec import InvalidMessageError, decode, encode
from customer_profiles.contracts.dead_letters import BREAKS_CONTRACT, DeadLetter
from customer_profiles.contracts.event import (
    COLUMNS,
    EVENT_TYPES,
    MESSAGE_FIELDS,
    OPTIONAL_FIELDS,
    SCHEMA_VERSION,
    SEPARATOR,
    event_id,
)
from customer_profiles.contracts.leniency import Leniency, check_row
from customer_profiles.contracts.rules import (
    Reason,
    canonical_price,
    canonical_time,
    category_root,
    check,
)
from customer_profiles.contracts.topics import (
    DEAD_LETTERS,
    PROGRESS,
    RAW_EVENTS,
    REPLAYED,
    TOPICS,
    Topic,
)

__all__ = [
    "BREAKS_CONTRACT",
    "COLUMNS",
    "DEAD_LETTERS",
    "EVENT_TYPES",
    "MESSAGE_FIELDS",
    "OPTIONAL_FIELDS",
    "PROGRESS",
    "RAW_EVENTS",
    "REPLAYED",
    "SCHEMA_VERSION",
    "SEPARATOR",
    "TOPICS",
    "DeadLetter",
    "InvalidMessageError",
    "Leniency",
    "Reason",
    "Topic",
    "bucket_of",
    "canonical_price",
    "canonical_time",
    "category_root",
    "check",
    "check_row",
    "decode",
    "encode",
    "event_id",
]
