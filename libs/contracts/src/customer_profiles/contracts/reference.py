"""The reference of all reasons: what triggers each, an example row, and how to correct it.

`scripts/generate_reference.py` turns it into `docs/reference/reasons.md`. A test checks that each
example gives its reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from customer_profiles.contracts.event import COLUMNS, OPTIONAL_FIELDS
from customer_profiles.contracts.limits import (
    MAX_ID_DIGITS,
    MAX_LINE_BYTES,
    MAX_PRICE_DECIMALS,
    MAX_PRICE_DIGITS,
)
from customer_profiles.contracts.rules import Reason

_VALID_ROW = {
    "event_time": "2020-09-24 11:57:06 UTC",
    "event_type": "view",
    "product_id": "1996170",
    "category_id": "2144415922528452715",
    "category_code": "electronics.telephone",
    "brand": "acme",
    "price": "31.90",
    "user_id": "1515915625519388267",
    "user_session": "LJuJVLEjPT",
}
_SHOWN_LENGTH = 160


@dataclass(frozen=True, slots=True)
class ReasonReference:
    """One reason, explained."""

    reason: Reason
    trigger: str
    """When a row gets this reason. One sentence in Markdown."""
    example: bytes
    """A row with the columns of `contracts.COLUMNS`, which gets this reason and no other."""
    remedy: str
    """How to correct the row or its source. Markdown."""
    strict_only: bool = False
    """Rows have this reason with `STRICT=1` only."""

    @property
    def shown_example(self) -> str:
        """The example as printable text, shortened if it is long.

        Bytes that are not UTF-8 and control characters are escaped as in a Python literal.
        """
        text = self.example.decode(errors="backslashreplace")
        text = "".join(
            character if character.isprintable() else f"\\x{ord(character):02x}"
            for character in text
        )
        if len(text) <= _SHOWN_LENGTH:
            return text
        return f"{text[:_SHOWN_LENGTH]}… ({len(self.example):,} bytes)"


def _row(**changes: str) -> bytes:
    return ",".join({**_VALID_ROW, **changes}[column] for column in COLUMNS).encode()


def _missing(reason: Reason, column: str, remedy: str) -> ReasonReference:
    return ReasonReference(
        reason,
        f"`{column}` is empty, contains only white space or is a word for a missing value.",
        _row(**{column: ""}),
        remedy,
    )


def _not_integer(reason: Reason, column: str, example: str) -> ReasonReference:
    optional = f" `{column}` may also be empty." if column in OPTIONAL_FIELDS else ""
    return ReasonReference(
        reason,
        f"`{column}` is not a whole number of 1 to {MAX_ID_DIGITS} digits.",
        _row(**{column: example}),
        f"Write the id in digits only, without a sign, separators or letters.{optional}",
    )


def _mangled(reason: Reason, column: str, example: str) -> ReasonReference:
    optional = column in OPTIONAL_FIELDS
    strict = " Only with `STRICT=1`: otherwise the row is accepted without it." if optional else ""
    return ReasonReference(
        reason,
        f"`{column}` is a number as a spreadsheet or a float column writes it: in scientific "
        f"notation, or with `.0` at its end and not below 2⁵³.{strict}",
        _row(**{column: example}),
        "Export the column as text from the original data. "
        "Digits that scientific notation has dropped are lost, so the id must come from there.",
        strict_only=optional,
    )


_LOOK_UP = "Take the value from the system that recorded the event."

REASONS: tuple[ReasonReference, ...] = (
    ReasonReference(
        Reason.NOT_UTF8,
        "The line is not valid UTF-8.",
        _row(brand="caf\N{LATIN SMALL LETTER E WITH ACUTE}").decode().encode("latin-1"),
        "Convert the file: `iconv -f latin1 -t utf-8 events.csv > events-utf8.csv`. "
        "Dead letters show the bytes as `\\xe9`.",
    ),
    ReasonReference(
        Reason.LINE_TOO_LONG,
        f"The line is longer than {MAX_LINE_BYTES:,} bytes.",
        _row(brand="x" * MAX_LINE_BYTES),
        "Look for a line end that is missing, or for a text that does not belong in the column.",
    ),
    ReasonReference(
        Reason.WRONG_FIELD_COUNT,
        "The line has more or fewer fields than the header.",
        _row() + b",extra",
        "Put a value that contains a comma in double quotes, and add missing commas.",
    ),
    ReasonReference(
        Reason.BAD_QUOTES,
        "A double quote is not closed on the same line, or a quoted value goes on after its "
        "closing quote.",
        _row(brand='"acme'),
        'Close the quote. Write a quote inside a quoted value twice: `"the ""best"" brand"`, '
        'or as Spark does: `"the \\"best\\" brand"`. '
        "A value cannot contain a line break.",
    ),
    ReasonReference(
        Reason.REPEATED_HEADER,
        "The line is the header again, as in files that were joined.",
        ",".join(COLUMNS).encode(),
        "Nothing is lost: the line is no event. To be rid of it, leave out the first line of each "
        "further file: `tail -n +2 second.csv >> first.csv`.",
    ),
    ReasonReference(
        Reason.CONTROL_CHARACTER,
        "A value has a control character inside it (U+0000 to U+001F, or U+007F), such as a tab.",
        _row(brand="ac\x07me"),
        "Remove the character.",
    ),
    _missing(Reason.EVENT_TIME_MISSING, "event_time", _LOOK_UP),
    ReasonReference(
        Reason.EVENT_TIME_INVALID,
        "`event_time` does not exist in the calendar, or has a format that is not among those "
        "that [are read](input.md#times).",
        _row(event_time="2020-02-30 11:57:06 UTC"),
        "Write `2020-09-24 11:57:06 UTC`, or ISO 8601 such as `2020-09-24T13:57:06+02:00`. "
        "A time without a zone counts as UTC.",
    ),
    _missing(Reason.EVENT_TYPE_MISSING, "event_type", _LOOK_UP),
    ReasonReference(
        Reason.EVENT_TYPE_UNKNOWN,
        "`event_type` is none of `view`, `cart`, `remove_from_cart` and `purchase`, in any case.",
        _row(event_type="wishlist"),
        "Map the type to one of the four, or leave the row out.",
    ),
    _missing(Reason.PRODUCT_ID_MISSING, "product_id", _LOOK_UP),
    _not_integer(Reason.PRODUCT_ID_NOT_INTEGER, "product_id", "12a"),
    _mangled(Reason.PRODUCT_ID_MANGLED, "product_id", "1.99617E+06"),
    _not_integer(Reason.CATEGORY_ID_NOT_INTEGER, "category_id", "telephone"),
    _mangled(Reason.CATEGORY_ID_MANGLED, "category_id", "2.14442E+18"),
    _missing(Reason.PRICE_MISSING, "price", _LOOK_UP + " A free product costs `0.00`."),
    ReasonReference(
        Reason.PRICE_INVALID,
        f"`price` is not a decimal of at most {MAX_PRICE_DIGITS} digits before the point and "
        f"{MAX_PRICE_DECIMALS} after it. Zeros at the end do not count. "
        "More decimals are accepted where they are the noise of a binary float.",
        _row(price="$31.90"),
        "Write the price with a decimal point and without currency or separators: `1234.50`. "
        "Round prices that have more decimals.",
    ),
    ReasonReference(
        Reason.PRICE_NEGATIVE,
        "`price` is a decimal with a minus sign.",
        _row(price="-31.90"),
        "Remove the sign if it is an error. Leave the row out if it is a refund: "
        "there is no event type for refunds.",
    ),
    _missing(
        Reason.USER_ID_MISSING,
        "user_id",
        _LOOK_UP + " An event without a customer belongs to no profile.",
    ),
    _not_integer(Reason.USER_ID_NOT_INTEGER, "user_id", "-7"),
    _mangled(Reason.USER_ID_MANGLED, "user_id", "1.51592E+18"),
    _missing(Reason.USER_SESSION_MISSING, "user_session", _LOOK_UP),
)
"""One entry for each `Reason`, in the same order."""
