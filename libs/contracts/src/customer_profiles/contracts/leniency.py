r"""Values as other programs write them, rewritten so that `rules.check` accepts them.

Databases, data frames and spreadsheets write times, prices, ids and missing values in their own
ways. `check_row` accepts those whose meaning is certain, and says what it has rewritten. It
rewrites only values that `rules.check` rejects, and words for a missing value such as `NULL`. Every
other row keeps its values and therefore its `event_id`.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum

from customer_profiles.contracts.event import COLUMNS
from customer_profiles.contracts.limits import EXACT_FLOATS, MAX_PRICE_DECIMALS
from customer_profiles.contracts.rules import (
    Reason,
    canonical_time,
    check,
    check_value,
    is_mangled,
)


class Leniency(StrEnum):
    """A kind of rewriting. The report of an ingestion counts each kind under `normalised`."""

    NULL_WORD = "null_word"
    TIME_FORMAT = "time_format"
    PRICE_FORMAT = "price_format"
    PRICE_ROUNDED = "price_rounded"
    ID_WITH_POINT_ZERO = "id_with_point_zero"
    CATEGORY_ID_DROPPED = "category_id_dropped"
    BACKSLASH_QUOTE = "backslash_quote"
    MISSING_COLUMN = "missing_column"
    SEPARATOR = "separator"
    ENCODING = "encoding"
    LINE_END = "line_end"


NULL_WORDS = (
    *("NULL", "Null", "null", "(null)", "(NULL)"),
    *("NaN", "nan", "NAN", "NaT", "None", "none", "NONE"),
    *("N/A", "n/a", "#N/A", "NA", "<NA>", "\\N", "undefined"),
)
"""What SQL, pandas, R, Spark, spreadsheets and JavaScript write in place of a missing value."""

_CLOCK = r"(\d\d:\d\d)(?::(\d\d)(?:[.,](\d{1,12}))?)?"
_TIME = re.compile(
    rf"(\d{{4}}-\d\d-\d\d)[ Tt]{_CLOCK}\s*"
    r"(UTC|GMT|[Zz]|[+-]\d{1,2}(?::\d\d(?::\d\d)?)?|[+-]\d{4})?",
    re.ASCII,
)
_JAVASCRIPT_TIME = re.compile(
    r"[A-Z][a-z]{2}(?:, (\d\d) ([A-Z][a-z]{2})| ([A-Z][a-z]{2}) (\d\d)) (\d{4}) "
    r"(\d\d:\d\d:\d\d) GMT([+-]\d{4})?(?: \([^()]*\))?",
    re.ASCII,
)
"""`Date.toUTCString` and `Date.toString`."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_POINT_ZERO = re.compile(r"(\d{1,16})\.0*", re.ASCII)
_PRICE = re.compile(r"(-?)(\d{0,12})\.(\d{1,60})", re.ASCII)


def check_row(
    row: Mapping[str, str | None],
) -> tuple[dict[str, str | None], list[Reason], list[Leniency]]:
    """Decide whether one row is an event, and accept values as other programs write them.

    Args:
        row: columns as text from the source or None. A column that is absent counts as empty.

    Returns:
        Values and reasons as `rules.check` returns them, and what was rewritten: one entry per
        value. Nothing counts as rewritten in a row that is rejected.
    """
    texts = {column: (row.get(column) or "").strip() for column in COLUMNS}
    kinds: list[Leniency] = []
    for column, text in texts.items():
        if text in _NULL_WORD_SET:
            texts[column] = ""
            kinds.append(Leniency.NULL_WORD)
    values, reasons = check(texts)
    for reason in [*reasons]:
        name = _REWRITTEN_COLUMNS.get(reason)
        rewritten = _REWRITES[name](texts[name]) if name else None
        if name and rewritten:
            text, kind = rewritten
            values[name], new_reason = check_value(name, text) if text else (None, None)
            place = reasons.index(reason)
            reasons[place : place + 1] = [new_reason] if new_reason else []
            kinds.append(kind)
    return values, reasons, [] if reasons else kinds


def is_time(text: str, strict: bool = False) -> bool:
    """Return whether a text is a time, in a form of its own or in one that can be rewritten."""
    rewritten = None if strict else _rewrite_time(text)
    return canonical_time(rewritten[0] if rewritten else text) is not None


def _rewrite_time(text: str) -> tuple[str, Leniency] | None:
    """Rewrite a time as ISO 8601 with seconds and a whole offset. Nanoseconds are cut off."""
    if match := _TIME.fullmatch(text):
        day, minutes, seconds, fraction, zone = match.groups()
    elif match := _JAVASCRIPT_TIME.fullmatch(text):
        month = match[2] or match[3]
        if month not in _MONTHS:
            return None
        day = f"{match[5]}-{_MONTHS.index(month) + 1:02}-{match[1] or match[4]}"
        minutes, seconds, fraction, zone = match[6][:5], match[6][6:], None, match[7]
    else:
        return None
    time = f"{day} {minutes}:{seconds or '00'}" + (f".{fraction[:6]}" if fraction else "")
    if zone and zone[0] in "+-":
        digits = zone[1:].replace(":", "")
        if ":" not in zone and len(digits) <= 2:
            digits = digits.zfill(2) + "00"
        elif len(zone.partition(":")[0]) == 2:
            digits = "0" + digits
        if len(digits) == 6:
            if not digits.endswith("00"):
                return None
            digits = digits[:4]
        return f"{time}{zone[0]}{digits[:2]}:{digits[2:]}", Leniency.TIME_FORMAT
    return f"{time} UTC", Leniency.TIME_FORMAT


def _rewrite_price(text: str) -> tuple[str, Leniency] | None:
    """Add the zero before the point, drop zeros at the end, and round the noise of a float."""
    match = _PRICE.fullmatch(text)
    if not match:
        return None
    sign, whole, decimals = match.groups()
    decimals = decimals.rstrip("0")
    if len(decimals) <= MAX_PRICE_DECIMALS:
        return f"{sign}{whole or '0'}.{decimals or '0'}", Leniency.PRICE_FORMAT
    price = _without_noise(f"{whole or '0'}.{decimals}")
    return None if price is None else (f"{sign}{price}", Leniency.PRICE_ROUNDED)


def _without_noise(text: str) -> Decimal | None:
    """Return the decimal of two to four places that a binary float stands for, if it is one.

    `4.8100000000000005` is 4.81 as a float of 64 bits after an addition. `35.790000915527344` is
    35.79 as a float of 32 bits. None if the digits say more than that, as in `4.8123456`.
    """
    price = Decimal(text)
    number = float(price)
    tolerance = 4 * Decimal(math.ulp(number))
    single: float = struct.unpack("f", struct.pack("f", number))[0]
    last_place = Decimal(1).scaleb(int(price.as_tuple().exponent))
    if abs(Decimal(single) - price) <= last_place / 2:
        # The text is a float of 32 bits, which has 29 bits less for its digits.
        tolerance = max(tolerance, Decimal(math.ulp(number)) * 2**29)
    for places in range(2, MAX_PRICE_DECIMALS + 1):
        rounded = price.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
        if abs(rounded - price) <= tolerance:
            return rounded
    return None


def _rewrite_id(text: str) -> tuple[str, Leniency] | None:
    """Drop `.0`, which a column of floats adds, where a float holds the whole id."""
    match = _POINT_ZERO.fullmatch(text)
    if match and int(match[1]) < EXACT_FLOATS:
        return match[1], Leniency.ID_WITH_POINT_ZERO
    return None


def _rewrite_category_id(text: str) -> tuple[str, Leniency] | None:
    """Drop an id whose digits a float or a spreadsheet has lost. The row is complete without it."""
    return _rewrite_id(text) or (("", Leniency.CATEGORY_ID_DROPPED) if is_mangled(text) else None)


_NULL_WORD_SET = frozenset(NULL_WORDS)
_REWRITES: Mapping[str, Callable[[str], tuple[str, Leniency] | None]] = {
    "event_time": _rewrite_time,
    "product_id": _rewrite_id,
    "category_id": _rewrite_category_id,
    "price": _rewrite_price,
    "user_id": _rewrite_id,
}
_REWRITTEN_COLUMNS: Mapping[Reason, str] = {
    reason: column
    for column in _REWRITES
    for reason in Reason
    if reason.startswith(column) and not reason.endswith("_missing")
}
"""The column of each reason that a rewritten value may not have any more."""
