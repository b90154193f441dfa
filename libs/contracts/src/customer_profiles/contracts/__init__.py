"""What an event is: the contract between all applications. Standard library only.

* `event`: columns, message fields and `event_id`
* `rules`: when a row is an event, and the reasons when it is not
* `limits`: how long and how large values may be; `limits_table` says what each store takes
* `leniency`: values as other programs write them, rewritten so that the rules accept them
* `codec`: the message in Kafka, encoded and decoded
* `messages`: what the decoders of all topics share, since anyone can publish to a topic
* `dead_letters`: what becomes of a row or message that is not an event
* `progress`: how far a source has been ingested
* `redriven`: which dead letters were sent again
* `topics`: topics with partitions and retention
* `buckets`: which bucket a customer belongs to
* `assignment`: which variant of an experiment a customer gets
* `experiment`: an experiment as it is registered, and who can take part
* `exposure`: the message that a customer has met a variant
* `reference`: each reason with a trigger, an example and a remedy
"""

from customer_profiles.contracts.buckets import bucket_of
from customer_profiles.contracts.codec import decode, decode_event, encode
from customer_profiles.contracts.dead_letters import (
    BREAKS_CONTRACT,
    NO_DEAD_LETTER,
    DeadLetter,
    decode_dead_letter,
)
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
from customer_profiles.contracts.messages import InvalidMessageError, InvalidMessages
from customer_profiles.contracts.progress import NO_TOPIC, Progress, decode_progress
from customer_profiles.contracts.redriven import Redriven, decode_redriven
from customer_profiles.contracts.rules import (
    Reason,
    canonical_price,
    canonical_time,
    category_root,
    check,
)
from customer_profiles.contracts.topics import (
    DEAD_LETTERS,
    EXPOSURE_DEAD_LETTERS,
    EXPOSURES,
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
    "EXPOSURES",
    "EXPOSURE_DEAD_LETTERS",
    "MESSAGE_FIELDS",
    "NO_DEAD_LETTER",
    "NO_TOPIC",
    "OPTIONAL_FIELDS",
    "PROGRESS",
    "RAW_EVENTS",
    "REPLAYED",
    "SCHEMA_VERSION",
    "SEPARATOR",
    "TOPICS",
    "DeadLetter",
    "InvalidMessageError",
    "InvalidMessages",
    "Leniency",
    "Progress",
    "Reason",
    "Redriven",
    "Topic",
    "bucket_of",
    "canonical_price",
    "canonical_time",
    "category_root",
    "check",
    "check_row",
    "decode",
    "decode_dead_letter",
    "decode_event",
    "decode_progress",
    "decode_redriven",
    "encode",
    "event_id",
]
