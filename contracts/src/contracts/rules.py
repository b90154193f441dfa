"""When a row is an event: the reference that every faster implementation is held to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from contracts.event import COLUMNS, EVENT_TYPES, SEPARATOR


class Reason(StrEnum):
    """Why a row is no event; a row keeps all of its reasons."""

    NOT_UTF8 = "not_utf8"
    LINE_TOO_LONG = "line_too_long"
    WRONG_FIELD_COUNT = "wrong_field_count"
    BAD_QUOTES = "bad_quotes"
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


_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d{1,6})?)\s*(UTC|Z|[+-]\d\d:?\d\d)?", re.ASCII)
_INTEGER = re.compile(r"\d{1,20}", re.ASCII)
_MANGLED = re.compile(r"\d+([.,]\d*)?[eE]\+?\d+|\d+\.0*", re.ASCII)
"""What spreadsheets make of long ids: 2.10381E+18, 1996170.0."""
_PRICE = re.compile(r"(-?)(\d{1,12})(?:\.(\d{0,9}))?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
MAX_PRICE_DECIMALS = 4
"""Currencies have at most four decimals (ISO 4217); more are the noise of a binary float."""


def canonical_time(text: str) -> str | None:
    """`text` as ISO 8601 in UTC with a Z, fractions only where there are any; None where it is no time.

    Read are `2020-09-24 11:57:06 UTC` and ISO 8601 with a Z, an offset or nothing, which is UTC.
    """
    found = _TIME.fullmatch(text)
    if not found:
        return None
    day, time, zone = found.groups()
    offset = "+00:00" if zone in (None, "UTC", "Z") else zone
    try:
        moment = datetime.fromisoformat(f"{day}T{time}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    text = moment.replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def canonical_price(text: str) -> str | None:
    """`text` as a decimal with two places, or up to four where they are needed; None where it is no price."""
    found = _PRICE.fullmatch(text)
    if not found or found[1]:
        return None
    price = Decimal(f"{found[2]}.{found[3] or '0'}").normalize()
    decimals = max(2, -int(price.as_tuple().exponent))
    return f"{price:.{decimals}f}" if decimals <= MAX_PRICE_DECIMALS else None


def check(row: Mapping[str, str | None]) -> tuple[dict[str, str | None], list[Reason]]:
    """Decide on one row.

    Args:
        row: the nine `COLUMNS`, text as it stands in the source or None; white space around a value
            does not count, and an empty value is a missing one.

    Returns:
        The values as they stand in a message, and the reasons why the row is no event: it is one
        when there are none. With reasons the values are incomplete.
    """
    given = {column: (row[column] or "").strip() for column in COLUMNS}
    values: dict[str, str | None] = dict.fromkeys(COLUMNS)
    reasons: list[Reason] = []
    if any(_CONTROL.search(text) for text in given.values()):
        reasons.append(Reason.CONTROL_CHARACTER)

    for column in COLUMNS:
        text = given[column]
        if not text:
            if column not in ("category_id", "category_code", "brand"):
                reasons.append(Reason(f"{column}_missing"))
            continue
        match column:
            case "event_time":
                values[column] = canonical_time(text)
                if values[column] is None:
                    reasons.append(Reason.EVENT_TIME_INVALID)
            case "event_type":
                values[column] = text.lower()
                if values[column] not in EVENT_TYPES:
                    reasons.append(Reason.EVENT_TYPE_UNKNOWN)
            case "product_id" | "category_id" | "user_id":
                if _INTEGER.fullmatch(text):
                    values[column] = text.lstrip("0") or "0"
                elif _MANGLED.fullmatch(text):
                    reasons.append(Reason(f"{column}_mangled"))
                else:
                    reasons.append(Reason(f"{column}_not_integer"))
            case "price":
                values[column] = canonical_price(text)
                if values[column] is None:
                    negative = _PRICE.fullmatch(text)
                    reasons.append(Reason.PRICE_NEGATIVE if negative and negative[1] else Reason.PRICE_INVALID)
            case _:
                values[column] = text
    return values, reasons


def category_root(category_code: str | None) -> str | None:
    """The top level of a category code: `electronics` of `electronics.telephone`."""
    return category_code.partition(".")[0] or None if category_code else None


assert _CONTROL.match(SEPARATOR), "event_id is only unambiguous while no value can hold the separator"
