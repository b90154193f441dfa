"""The event as a row: its columns, the fields of its message, and its identity."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

SCHEMA_VERSION = 1

COLUMNS = (
    "event_time",
    "event_type",
    "product_id",
    "category_id",
    "category_code",
    "brand",
    "price",
    "user_id",
    "user_session",
)
"""The columns of a source file, in the order in which REES46 publishes them."""

EVENT_TYPES = ("view", "cart", "remove_from_cart", "purchase")

MESSAGE_FIELDS = ("event_id", *COLUMNS, "category_root", "schema_version", "source", "source_row")
"""The fields of a message, in order.

`schema_version` and `source_row` are integers. All other fields are strings or null.
"""

OPTIONAL_FIELDS = frozenset({"category_id", "category_code", "brand", "category_root"})
"""Fields that may be null. A quarter of real rows has no category code or no brand."""

SEPARATOR = "\x1f"
"""The ASCII unit separator joins the values that `event_id` hashes. No value may contain it."""


def event_id(values: Mapping[str, str | None]) -> str:
    """Compute the identity of an event from its nine values alone.

    The identity is the first 128 bits of SHA-256 over the values of `COLUMNS` as they stand in the
    message, joined by `SEPARATOR`. Null counts as the empty text. The same row has the same
    identity on every machine, for ever.

    Args:
        values: The canonical values, by column.

    Returns:
        32 hexadecimal digits in lower case.
    """
    text = SEPARATOR.join(values[column] or "" for column in COLUMNS)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
