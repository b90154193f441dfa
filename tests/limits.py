"""Rows at the limits of `contracts.limits_table` and beyond, for tests with and without servers."""

from __future__ import annotations

from customer_profiles.contracts.limits import (
    MAX_ID_DIGITS,
    MAX_LINE_BYTES,
    MAX_PRICE_DECIMALS,
    MAX_PRICE_DIGITS,
    MAX_SEARCHED_CHARACTERS,
)
from tests.support import line

LONGEST_TEXT = MAX_LINE_BYTES - len(line(brand="").encode())
"""Bytes of the longest brand."""
HIGHEST_PRICE = f"{'9' * MAX_PRICE_DIGITS}.{'9' * MAX_PRICE_DECIMALS}"
LARGEST_ID = "9" * MAX_ID_DIGITS
ODD_CHARACTERS = "\x80\xa0\u200f\u2028\u2029\ufeff\ufffd\ufffe\U0001f642\U0010ffff"

AT_LIMIT: dict[str, list[dict[str, str]]] = {
    "line of a source": [{"brand": "x" * LONGEST_TEXT}],
    "`product_id`, `category_id`, `user_id`": [
        {"product_id": LARGEST_ID, "category_id": LARGEST_ID, "user_id": LARGEST_ID},
        {"product_id": "0", "category_id": "0", "user_id": "0"},
    ],
    "`price`": [
        {"event_type": "purchase", "price": HIGHEST_PRICE},
        {"event_type": "purchase", "price": "0.0001"},
        {"price": "0"},
    ],
    "`event_time`": [
        {"event_time": "0001-01-01 00:00:00 UTC"},
        {"event_time": "9999-12-31 23:59:59.999999 UTC"},
        {"event_time": "2020-09-24 11:57:06.000001999 UTC"},
    ],
    "`category_code`, `brand`, `user_session`": [
        {name: character * length}
        for name in ("category_code", "brand", "user_session")
        for character, length in (
            ("x", MAX_SEARCHED_CHARACTERS),
            ("\uffe5", MAX_SEARCHED_CHARACTERS),
            ("\U0001f642", MAX_SEARCHED_CHARACTERS // 2),
            ("\U0001f642", MAX_SEARCHED_CHARACTERS),
            ("x", MAX_SEARCHED_CHARACTERS + 1),
            ("\U0001f642", LONGEST_TEXT // 4 - 10),
        )
    ],
    "identity of a row of counts": [
        {"category_code": "c" * length, "brand": "b" * length} for length in (100, 250, 1_000)
    ],
    "characters of one to four bytes, among them U+2028, U+FFFE and U+10FFFF": [
        dict.fromkeys(("category_code", "brand", "user_session"), f"<{ODD_CHARACTERS}>"),
        {"brand": "\\", "user_session": "\\" * 30_000},
        {"brand": "</script><!--&amp;", "user_session": "[/x]${y}{{z}}"},
    ],
}
"""Values that are accepted, by the kind of value in the table."""

BEYOND: dict[str, list[tuple[dict[str, str], str]]] = {
    "line of a source": [({"brand": "x" * (LONGEST_TEXT + 1)}, "line_too_long")],
    "`product_id`, `category_id`, `user_id`": [
        ({name: text}, f"{name}_not_integer")
        for name in ("product_id", "category_id", "user_id")
        for text in ("1" + "0" * MAX_ID_DIGITS, "-1")
    ],
    "`price`": [
        ({"price": "1" + "0" * MAX_PRICE_DIGITS}, "price_invalid"),
        ({"price": "0.00012"}, "price_invalid"),
        ({"price": "-0.01"}, "price_negative"),
    ],
    "`event_time`": [
        ({"event_time": text}, "event_time_invalid")
        for text in (
            "0000-12-31 23:59:59 UTC",
            "10000-01-01 00:00:00 UTC",
            "0001-01-01 00:00:00+00:01",
            "9999-12-31 23:59:59-00:01",
        )
    ],
    "`category_code`, `brand`, `user_session`": [
        ({"user_session": "\U0001f642" * (MAX_LINE_BYTES // 4)}, "line_too_long")
    ],
    "control characters: U+0000 to U+001F, U+007F": [
        ({"brand": f"a{chr(code)}b"}, "control_character")
        for code in (*range(10), *range(11, 13), *range(14, 32), 127)
    ],
    "halves of surrogate pairs, other bytes that are not UTF-8": [
        ({"brand": text}, "not_utf8") for text in ("\ud800", "a\udfffb", "\udc00\ud800")
    ],
}
"""Values that are rejected, with their reason."""

NO_ROWS = {"sum of prices", "number of events", "`source_row`"}
"""Kinds of values that a single row does not have. Other tests try them."""


def limit_lines() -> list[str]:
    """Return lines of CSV with all values at their limits, each with a session of its own."""
    rows = [row for rows in AT_LIMIT.values() for row in rows]
    return [line(**{"user_session": f"limit-{number}", **row}) for number, row in enumerate(rows)]
