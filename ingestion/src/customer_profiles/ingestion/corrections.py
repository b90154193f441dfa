"""Decide whether a dead letter is an event now: by its corrected values, or by its own text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import COLUMNS, Reason, check, check_row
from customer_profiles.contracts.limits import MAX_LINE_BYTES
from customer_profiles.ingestion.dead_letters import StoredDeadLetter, split_values
from customer_profiles.ingestion.lines import check_line
from customer_profiles.ingestion.spreadsheet import from_cell

_ESCAPE = re.compile(r"\\x[89a-f][0-9a-f]")
"""A byte that is not UTF-8, as dead letters show it."""
MAX_DIGITS = 20
"""Digits of a row number. A cell may hold any number of them."""
NOT_A_ROW = "not_a_row"
"""The reason of a message that is not a line of a source. Its publisher has to send it again."""

Values = dict[str, str | None]
Reasons = Sequence[str]


def is_of(letter: StoredDeadLetter, cells: Mapping[str, str]) -> bool:
    """Tell whether a row of a corrected file was exported from a dead letter.

    A letter of a topic that was made anew may have the id of an older one. Its row would get the
    values of another row, and count as corrected.

    Args:
        letter: the dead letter of that id.
        cells: the row's cells. One without a source and a row number fits any letter.
    """
    content = letter.content
    source, row = cells.get("source", ""), cells.get("source_row", "").strip()
    if source and from_cell(source, content.source) != content.source:
        return False
    # A spreadsheet may have changed how a number looks, which says nothing.
    is_number = row.isascii() and row.isdigit() and len(row) < MAX_DIGITS
    return not is_number or int(row) == content.source_row


def check_correction(
    letter: StoredDeadLetter, cells: dict[str, str], strict: bool
) -> tuple[Values, Reasons]:
    """Check the values of an export that a person has corrected.

    A row with the values of its export was not corrected, so it keeps its reasons.

    Args:
        letter: the dead letter.
        cells: its values in the corrected file, by column, as `read_corrections` returns them.
        strict: accept only what `contracts.check` accepts as it stands.

    Returns:
        Canonical values, and the reasons why the row is still no event.
    """
    exported = split_values(letter.content)
    values = {column: from_cell(cells[column], exported.get(column, "")) for column in COLUMNS}
    if all(values[column].strip() == exported.get(column, "").strip() for column in COLUMNS):
        return {}, letter.content.reasons
    checked, reasons = check(values) if strict else check_row(values)[:2]
    if Reason.NOT_UTF8 in letter.content.reasons and any(map(_ESCAPE.search, values.values())):
        reasons = [Reason.NOT_UTF8, *reasons]
    if sum(len(value.encode()) + 1 for value in values.values()) > MAX_LINE_BYTES + 1:
        reasons = [Reason.LINE_TOO_LONG, *reasons]
    return checked, reasons


def check_text(letter: StoredDeadLetter, strict: bool) -> tuple[Values, Reasons]:
    """Check the original text of a dead letter by the current rules.

    Args:
        letter: the dead letter.
        strict: accept only what `contracts.check` accepts as it stands.

    Returns:
        Canonical values, and the reasons why the row is still no event.
    """
    content = letter.content
    if content.columns is None:
        return {}, [NOT_A_ROW]
    if Reason.NOT_UTF8 in content.reasons:
        # The text holds escapes in place of the original bytes, so it is not what the source had.
        return {}, [Reason.NOT_UTF8]
    try:
        checked = check_line(
            content.text.encode(), content.columns, separator=content.separator, strict=strict
        )
    except PipelineError:
        # A header with its columns in another order ends an ingestion, and no redrive.
        return {}, [Reason.REPEATED_HEADER]
    return checked.values, checked.reasons
