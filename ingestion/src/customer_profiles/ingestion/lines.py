"""Judge one line: split it into values, and decide by the reference whether it is an event."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Sequence
from typing import NamedTuple

from customer_profiles.common.console import printable
from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import COLUMNS, Leniency, Reason, check, check_row
from customer_profiles.contracts.limits import MAX_LINE_BYTES

BYTE_ORDER_MARK = "\ufeff"
SHOWN_LENGTH = 200
"""Characters of a line that a message quotes."""
KEPT_LINE_BYTES = 2 * MAX_LINE_BYTES
"""The longest text of a dead letter.

It is more than a line may have, so that the beginning of a line never passes for a whole one. With
all its characters escaped, it still fits into a message.
"""


class CheckedLine(NamedTuple):
    """What a line is."""

    values: dict[str, str | None]
    """Canonical values; incomplete if there are reasons."""
    reasons: list[Reason]
    """Why the line is not an event."""
    rewritten: list[Leniency] = []  # noqa: RUF012 - nothing appends to it
    """What was rewritten in an accepted line: one entry per value."""


def check_line(
    line: bytes, columns: Sequence[str], *, separator: str = ",", strict: bool = False
) -> CheckedLine:
    """Judge one line by the reference.

    Args:
        line: a CSV line without its line feed.
        columns: the names of its fields in order.
        separator: the character between two fields.
        strict: accept only what `contracts.check` accepts as it stands.

    Raises:
        PipelineError: the line is a header whose columns are in another order.
    """
    # Before anything else, because of a longer line only the beginning may be at hand.
    if len(line) > MAX_LINE_BYTES:
        return CheckedLine({}, [Reason.LINE_TOO_LONG])
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return CheckedLine({}, [Reason.NOT_UTF8])
    checked = _check_text(text, columns, separator, strict)
    if not checked.reasons:
        return checked
    if _is_header(text, columns, separator):
        return CheckedLine({}, [Reason.REPEATED_HEADER])
    if '\\"' in text and not strict:
        # Spark's CSV writer escapes a quote with a backslash. CSV writes the quote twice.
        unescaped = _check_text(text.replace('\\"', '""'), columns, separator, strict)
        if not unescaped.reasons:
            return unescaped._replace(rewritten=[*unescaped.rewritten, Leniency.BACKSLASH_QUOTE])
    return checked


def split_line(text: str, columns: Sequence[str], separator: str = ",") -> dict[str, str] | Reason:
    """Return the value of each column of one line, or the reason why the line cannot be split."""
    try:
        fields = next(csv.reader([text], delimiter=separator, strict=True), [])
    except csv.Error:
        return Reason.BAD_QUOTES
    if len(fields) != len(columns):
        return Reason.WRONG_FIELD_COUNT
    return dict(zip(columns, fields, strict=True))


def _check_text(text: str, columns: Sequence[str], separator: str, strict: bool) -> CheckedLine:
    values = split_line(text, columns, separator)
    if isinstance(values, Reason):
        return CheckedLine({}, [values])
    if strict:
        return CheckedLine(*check({**dict.fromkeys(COLUMNS, ""), **values}))
    return CheckedLine(*check_row(values))


def _is_header(text: str, columns: Sequence[str], separator: str) -> bool:
    """Return whether a line is the header once more."""
    names = tuple(name.lower() for name in split_header(text, separator))
    if names == tuple(columns):
        return True
    if len(names) == len(columns) and set(COLUMNS) & set(columns) <= set(names):
        # The rows below it would be read with the values of other columns.
        raise PipelineError(
            "A header with its columns in another order stands in the middle of the input:\n"
            f"{printable(text, SHOWN_LENGTH)}\n"
            "The rows below it have other columns than those above it. "
            "Ingest the files one by one, before they are joined."
        )
    return False


def split_header(text: str, separator: str) -> list[str]:
    """Split a line into names of columns, without white space around them."""
    try:
        fields = next(csv.reader([text.removeprefix(BYTE_ORDER_MARK)], delimiter=separator), [])
    except csv.Error:
        return []
    return [field.strip() for field in fields]


def is_blank(line: bytes) -> bool:
    """Return whether a line has nothing but white space, so that it is no row."""
    if len(line) > MAX_LINE_BYTES:
        return not line.strip()
    return not line.decode(errors="replace").replace("\ufeff", "").strip()


def kept_text(line: bytes) -> str:
    r"""Return the text of a rejected line, as its dead letter keeps it.

    Bytes that are not UTF-8 become escapes such as \xe9. A line that is longer than
    `KEPT_LINE_BYTES` is cut, between two characters.
    """
    if len(line) <= KEPT_LINE_BYTES:
        return line.decode(errors="backslashreplace")
    # Where the line is cut, the decoder leaves out a character of which only a part is there.
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    return decoder.decode(line[:KEPT_LINE_BYTES])


def cut_detail(line_bytes: int) -> str | None:
    """Return what a dead letter says about a line that it does not keep as a whole."""
    if line_bytes <= KEPT_LINE_BYTES:
        return None
    return f"a line of {line_bytes:,} bytes, cut after {KEPT_LINE_BYTES:,}"
