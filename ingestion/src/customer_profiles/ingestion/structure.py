"""Tell lines that split into fields at every separator from those that need a CSV parser."""

from __future__ import annotations

from functools import cache

from customer_profiles.contracts.limits import MAX_LINE_BYTES
from customer_profiles.ingestion.lines import is_blank

NumberedLine = tuple[int, bytes]
"""Row number and line, without its line feed."""


@cache
def _not_structure(separator: bytes) -> bytes:
    """Return every byte except separators, line feeds and quotes."""
    return bytes(set(range(256)) - set(separator + b'\n"'))


def is_regular(data: bytes, lines: int, fields: int, separator: bytes) -> bool:
    """Return whether every line is UTF-8, short enough, unquoted and has one field per column."""
    structure = data.translate(None, _not_structure(separator))
    if structure != (separator * (fields - 1) + b"\n") * lines:
        return False
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            return False
    # Any line above the limit covers a whole window of half the limit, without a line feed in it.
    window = MAX_LINE_BYTES // 2
    return all(
        data.find(b"\n", start, start + window) >= 0 for start in range(0, len(data), window)
    )


def separate_irregular(
    data: bytes, fields: int, first_row: int, separator: bytes
) -> tuple[list[bytes], list[int], list[NumberedLine]]:
    """Separate regular lines from the others and drop blank lines.

    Returns:
        Regular lines, their row numbers, and the irregular lines with their numbers.
    """
    regular: list[bytes] = []
    numbers: list[int] = []
    irregular: list[NumberedLine] = []
    row = first_row
    ascii_only = data.isascii()
    for raw_line in data.split(b"\n"):
        line = raw_line.rstrip(b"\r")
        if (
            line.count(separator) == fields - 1
            and b'"' not in line
            and len(line) <= MAX_LINE_BYTES
            and (ascii_only or _is_utf8(line))
        ):
            regular.append(line)
            numbers.append(row)
        elif is_blank(line):
            continue
        else:
            irregular.append((row, line))
        row += 1
    return regular, numbers, irregular


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
