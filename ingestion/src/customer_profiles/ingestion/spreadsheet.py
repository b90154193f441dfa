"""Cells of a CSV file that people open in a spreadsheet.

A spreadsheet runs a cell as a formula if it begins with certain characters, and the text of a
rejected row may come from a stranger. Such a cell gets an apostrophe in front of it, which makes it
text. So does a cell that begins with an apostrophe itself, so that reading takes off exactly what
writing has put on.
"""

from __future__ import annotations

_STARTS_FORMULA = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
"""What a formula begins with, and the same characters at full width."""
_MARK = "'"


def to_cell(text: str) -> str:
    """Return a text as the cell that no spreadsheet runs."""
    return f"{_MARK}{text}" if text[:1] in (*_STARTS_FORMULA, _MARK) else text


def from_cell(cell: str, original: str = "") -> str:
    """Return the text of a cell.

    Args:
        cell: a cell that was written by `to_cell`, by a version that put no apostrophes in front
            of formulas, or by a person.
        original: the text that was written, if it is known.

    Returns:
        `original` if nobody has changed the cell; otherwise its text without the apostrophe of
        `to_cell`.
    """
    if cell in (original, to_cell(original)):
        return original
    was_marked = to_cell(original) != original
    is_marked = cell[:1] == _MARK and (was_marked or to_cell(cell[1:]) != cell[1:])
    return cell[1:] if is_marked else cell
