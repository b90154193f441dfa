"""The rules that make a row an event.

`check` is the reference implementation for one row. The vectorised paths (ingestion's `validate`
and processing's `parse`) use the patterns of this module to recognise rows and messages that are
plainly in order. They pass every other row and message to the reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from customer_profiles.contracts.event import (
    COLUMNS,
    EVENT_TYPES,
    OPTIONAL_FIELDS,
    SCHEMA_VERSION,
    SEPARATOR,
)
from customer_profiles.contracts.limits import (
    MAX_ID_DIGITS,
    MAX_PRICE_DECIMALS,
    MAX_PRICE_DIGITS,
    MAX_SOURCE_ROW,
)


class Reason(StrEnum):
    """A reason why a row is not an event. A row keeps all of its reasons.

    `contracts.reference` explains each reason with an example.
    """

    NOT_UTF8 = "not_utf8"
    LINE_TOO_LONG = "line_too_long"
    WRONG_FIELD_COUNT = "wrong_field_count"
    BAD_QUOTES = "bad_quotes"
    REPEATED_HEADER = "repeated_header"
    CONTROL_CHARACTER = "control_character"
    EVENT_TIME_MISSING = "event_time_missing"
    EVENT_TIME_INVALID = "event_time_invalid"
    EVENT_TYPE_MISSING = "event_type_missing"
    EVENT_TYPE_UNKNOWN = "event_type_unknown"
    PRODUCT_ID_MISSING = "product_id_missing"
    PRODUCT_ID_NOT_INTEGER = "product_id_not_integer"
    PRODUCT_ID_MANGLED = "product_id_mangled"
    CATEGORY_ID_NOT_INTEGER = "category_id_not_integer"
    CATEGORY_ID_MANGLED = "category_id_mangled"
    PRICE_MISSING = "price_missing"
    PRICE_INVALID = "price_invalid"
    PRICE_NEGATIVE = "price_negative"
    USER_ID_MISSING = "user_id_missing"
    USER_ID_NOT_INTEGER = "user_id_not_integer"
    USER_ID_MANGLED = "user_id_mangled"
    USER_SESSION_MISSING = "user_session_missing"


# Rows. These patterns are compatible with Rust's regex crate, which Polars uses. A row that matches
# them is an event as it stands, except for the format of its time and a time that does not exist.
PLAIN_TIME = r"^[12][0-9]{3}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-5][0-9]:[0-5][0-9] UTC$"
PLAIN_INTEGER = r"^[1-9][0-9]{0,19}$"
PLAIN_PRICE = r"^(?:0|[1-9][0-9]{0,11})\.[0-9]{2}$"
PLAIN_TEXT = r"^[!-~]+$"

# Messages, as `encode` writes them. These patterns are compatible with Rust's regex crate, too.
_ID = "0|[1-9][0-9]*"
_TEXT = r'[^"\\\x00-\x1f]+'
MESSAGE_PATTERNS: Mapping[str, str] = {
    "event_id": "[0-9a-f]+",
    "event_time": "[0-9T:.-]+Z",
    "event_type": "|".join(EVENT_TYPES),
    **dict.fromkeys(("product_id", "category_id", "user_id"), _ID),
    "source_row": "[1-9][0-9]*",
    "price": r"(?:0|[1-9][0-9]{0,11})\.[0-9]{2,4}",
    **dict.fromkeys(("category_code", "brand", "user_session", "category_root", "source"), _TEXT),
    "schema_version": str(SCHEMA_VERSION),
}
"""The pattern of each field of a canonical message, without its quotes and without escapes.

A message whose fields match is in order if its lengths fit `MESSAGE_LENGTHS` and its time exists.
"""
MESSAGE_LENGTHS: Mapping[str, tuple[int, int]] = {
    "event_id": (32, 32),
    "event_time": (20, 27),
    **dict.fromkeys(("product_id", "category_id", "user_id"), (1, MAX_ID_DIGITS)),
    "source_row": (1, len(str(MAX_SOURCE_ROW))),
}
"""The shortest and the longest value of some fields, in bytes.

They are checked apart from the patterns: counted repetitions make a match a quarter slower.
"""

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d{1,6})?)\s*(UTC|Z|[+-]\d\d:?\d\d)?", re.ASCII
)
_INTEGER = re.compile(rf"\d{{1,{MAX_ID_DIGITS}}}", re.ASCII)
_MANGLED = re.compile(r"\d+([.,]\d*)?[eE]\+?\d+|\d+\.0*", re.ASCII)
"""What spreadsheets make of long ids: 2.10381E+18 or 1996170.0."""
_PRICE = re.compile(rf"(-?)(\d{{1,{MAX_PRICE_DIGITS}}})(?:\.(\d{{0,9}}))?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def canonical_time(text: str) -> str | None:
    """Rewrite a time as ISO 8601 in UTC, such as `2020-09-24T11:57:06Z`.

    Args:
        text: `2020-09-24 11:57:06 UTC`, or ISO 8601 with a Z, with an offset, or without either,
            which counts as UTC.

    Returns:
        The time with a Z, and with a fraction only if there is one. None if `text` is not a time.
    """
    match = _TIME.fullmatch(text)
    if not match:
        return None
    day, time, zone = match.groups()
    offset = "+00:00" if zone in (None, "UTC", "Z") else zone
    try:
        moment = datetime.fromisoformat(f"{day}T{time}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    text = moment.replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def canonical_price(text: str) -> str | None:
    """Rewrite a price as a decimal with two places, or with up to four if it needs them.

    Args:
        text: A decimal without a sign, such as `31.9`.

    Returns:
        The price, such as `31.90`. None if `text` is not a price or has more than four decimals.
    """
    match = _PRICE.fullmatch(text)
    if not match or match[1]:
        return None
    price = Decimal(f"{match[2]}.{match[3] or '0'}").normalize()
    decimals = max(2, -int(price.as_tuple().exponent))
    return f"{price:.{decimals}f}" if decimals <= MAX_PRICE_DECIMALS else None


def is_mangled(text: str) -> bool:
    """Return whether an id is a number as spreadsheets and columns of floats write it."""
    return _MANGLED.fullmatch(text) is not None


def category_root(category_code: str | None) -> str | None:
    """Return the top level of a category code: `electronics` for `electronics.telephone`.

    It is None if there is no category code, or if its top level is empty, as in `.telephone`.
    """
    return category_code.partition(".")[0] or None if category_code else None


def check(row: Mapping[str, str | None]) -> tuple[dict[str, str | None], list[Reason]]:
    """Decide whether one row is an event.

    Args:
        row: The nine `COLUMNS`, each as text from the source or None. White space around a value
            does not count. An empty value is a missing one.

    Returns:
        The canonical values, as a message has them, and the reasons why the row is not an event.
        The row is an event if there are no reasons. If there are, the values are incomplete.
    """
    texts = {column: (row[column] or "").strip() for column in COLUMNS}
    values: dict[str, str | None] = dict.fromkeys(COLUMNS)
    reasons: list[Reason] = []
    if _CONTROL.search("".join(texts.values())):
        reasons.append(Reason.CONTROL_CHARACTER)
    for column, text in texts.items():
        if text:
            values[column], reason = check_value(column, text)
        else:
            reason = None if column in OPTIONAL_FIELDS else Reason(f"{column}_missing")
        if reason:
            reasons.append(reason)
    return values, reasons


def check_value(column: str, text: str) -> tuple[str | None, Reason | None]:
    """Return the canonical value of a column, and the reason if `text` is not one.

    Args:
        column: one of `COLUMNS`.
        text: the value without white space around it; not empty.
    """
    match column:
        case "event_time":
            time = canonical_time(text)
            return time, None if time else Reason.EVENT_TIME_INVALID
        case "event_type":
            event_type = text.lower()
            return event_type, None if event_type in EVENT_TYPES else Reason.EVENT_TYPE_UNKNOWN
        case "product_id" | "category_id" | "user_id":
            if _INTEGER.fullmatch(text):
                return text.lstrip("0") or "0", None
            return None, Reason(f"{column}_{'mangled' if is_mangled(text) else 'not_integer'}")
        case "price":
            price = canonical_price(text)
            if price:
                return price, None
            number = _PRICE.fullmatch(text)
            return None, Reason.PRICE_NEGATIVE if number and number[1] else Reason.PRICE_INVALID
        case _:
            return text, None


assert _CONTROL.match(SEPARATOR), "event_id is ambiguous if a value can contain the separator"
