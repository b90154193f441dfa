"""The table of limits: what the contract and each store take of every kind of value.

`scripts/generate_reference.py` turns it into `docs/reference/limits.md`. Tests try each line at its
limit and beyond, without servers and with them.
"""

from __future__ import annotations

from dataclasses import dataclass

from customer_profiles.contracts.limits import (
    EXACT_FLOATS,
    FIRST_YEAR,
    LAST_YEAR,
    MAX_CHART_BUCKETS,
    MAX_DOCUMENT_ID_BYTES,
    MAX_ID_DIGITS,
    MAX_KEYWORD_BYTES,
    MAX_LINE_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_PRICE_DECIMALS,
    MAX_PRICE_DIGITS,
    MAX_SEARCHED_CHARACTERS,
    MAX_SOURCE_ROW,
    MAX_TOTAL_DIGITS,
)


@dataclass(frozen=True, slots=True)
class Limit:
    """What becomes of one kind of value on its way. Each text is Markdown."""

    value: str
    """The kind of value."""
    accepted: str
    """What the contract accepts."""
    kafka: str
    """How a message in Kafka holds it."""
    lake: str
    """How Parquet and Polars hold it."""
    index: str
    """How Elasticsearch holds it."""
    page: str
    """How the page and the report show it."""
    otherwise: str
    """What happens beyond the limit."""


_ANY = "any"
_AS_IS = "as it is"

LIMITS: tuple[Limit, ...] = (
    Limit(
        "line of a source",
        f"up to {MAX_LINE_BYTES:,} bytes",
        f"a message of up to {MAX_MESSAGE_BYTES:,} bytes, which holds the longest line with every "
        "character escaped",
        _ANY,
        _ANY,
        "not shown",
        "`line_too_long`",
    ),
    Limit(
        "`product_id`, `category_id`, `user_id`",
        f"1 to {MAX_ID_DIGITS} digits",
        "text",
        "text",
        f"text; `user_id` is the document id, which may have {MAX_DOCUMENT_ID_BYTES} bytes",
        "text, because a number would be exact only to 2⁵³",
        "`…_not_integer`",
    ),
    Limit(
        "`price`",
        f"0 to {'9' * MAX_PRICE_DIGITS}.{'9' * MAX_PRICE_DECIMALS}",
        "text",
        "decimal of 18 digits, exact",
        "the nearest double",
        "the nearest double",
        "`price_invalid`, `price_negative`",
    ),
    Limit(
        "sum of prices",
        "any number of prices",
        "not sent",
        f"decimal of {MAX_TOTAL_DIGITS} digits, exact for 10²¹ of the highest prices",
        f"the nearest double, to the cent up to {EXACT_FLOATS // 100:,}",
        "the nearest double",
        "cannot occur",
    ),
    Limit(
        "number of events",
        "any",
        "offsets of 64 bits",
        "integer of 64 bits",
        "integer of 64 bits",
        "exact to 2⁵³",
        "cannot occur",
    ),
    Limit(
        "`event_time`",
        f"the years {FIRST_YEAR} to {LAST_YEAR} (UTC), to the microsecond",
        "ISO 8601",
        "microseconds of 64 bits",
        "text with microseconds, searched and sorted by the millisecond",
        f"days; months or years where a chart has more than {MAX_CHART_BUCKETS:,} values; "
        "the newest events are those that are at most a day ahead of the clock",
        "`event_time_invalid`; further decimals of a second are cut off",
    ),
    Limit(
        "`category_code`, `brand`, `user_session`",
        "any length that fits into a line",
        "text",
        "text",
        f"searched up to {MAX_SEARCHED_CHARACTERS:,} characters, where one of four bytes counts "
        "twice; a longer text is stored but not found, and charts by its column leave it out; "
        f"a search for more than {MAX_KEYWORD_BYTES:,} bytes is refused",
        "pictures show the first 1,000 characters",
        "`line_too_long`",
    ),
    Limit(
        "identity of a row of counts",
        "any",
        "not sent",
        "text",
        f"a document id of up to {MAX_DOCUMENT_ID_BYTES} bytes; its SHA-256 if it is longer",
        "not shown",
        "cannot occur",
    ),
    Limit(
        "`source_row`",
        f"1 to {MAX_SOURCE_ROW:,}",
        "integer",
        "integer of 64 bits",
        "not sent",
        "not shown",
        "`breaks_contract`",
    ),
    Limit(
        "characters of one to four bytes, among them U+2028, U+FFFE and U+10FFFF",
        "yes, unchanged",
        _AS_IS,
        _AS_IS,
        _AS_IS,
        "escaped for the place where they stand; U+FFFD in pictures where XML lacks the character",
        "cannot occur",
    ),
    Limit(
        "control characters: U+0000 to U+001F, U+007F",
        "around a value only, where white space does not count",
        "none",
        "none",
        "none",
        "none",
        "`control_character`",
    ),
    Limit(
        "halves of surrogate pairs, other bytes that are not UTF-8",
        "no",
        "none",
        "none",
        "none",
        "none",
        "`not_utf8`; in messages of other programs `breaks_contract`",
    ),
)
"""All limits, as docs/reference/limits.md lists them."""
