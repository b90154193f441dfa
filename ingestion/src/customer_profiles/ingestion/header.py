"""The columns of a CSV input, from its first line."""

from __future__ import annotations

import csv
from dataclasses import dataclass

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import COLUMNS, canonical_time
from customer_profiles.ingestion.blocks import read_full
from customer_profiles.ingestion.inputs import CsvInput

MAX_HEADER_BYTES = 64 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of an input and where its rows begin."""

    columns: tuple[str, ...]
    """Names in the order of the input, in lower case; among them all of `contracts.COLUMNS`."""
    size: int
    """Bytes before the first row."""


def check_header(csv_input: CsvInput) -> None:
    """Refuse an input that has no usable header before anything else happens.

    Args:
        csv_input: the input; stays readable from its beginning.

    Raises:
        PipelineError: as `parse_header`, or the input cannot be read.
    """
    with csv_input.open() as stream:
        parse_header(csv_input.label, read_full(csv_input.label, stream, MAX_HEADER_BYTES))


def parse_header(label: str, start: bytes) -> Header:
    """Return the columns of an input.

    Columns are matched by name, in any order and case. An input without a header is recognised by
    its first row: it has nine fields, and the first of them is a time.

    Args:
        label: the input's name in errors.
        start: the input's first bytes, at least the first line.

    Raises:
        PipelineError: the input is empty, or a column is missing.
    """
    if not start.strip():
        raise PipelineError(
            f"{label} is empty: it has neither a header nor a row.\nName a file with events: FILE=…"
        )
    line, _, _ = start.partition(b"\n")
    text = line.removeprefix(BYTE_ORDER_MARK).decode("utf-8", "replace").rstrip("\r")
    fields = [field.strip() for field in next(csv.reader([text]), [])]
    names = [field.lower() for field in fields]
    missing = [column for column in COLUMNS if column not in names]
    if not missing:
        return Header(tuple(names), size=min(len(line) + 1, len(start)))
    if len(fields) == len(COLUMNS) and canonical_time(fields[0]):
        return Header(
            COLUMNS, size=len(BYTE_ORDER_MARK) if start.startswith(BYTE_ORDER_MARK) else 0
        )
    plural = "s" if len(missing) > 1 else ""
    raise PipelineError(
        f"{label} lacks the column{plural} {', '.join(missing)}; nothing was sent.\n"
        f"Its first line is: {text[:200]}\nThe columns are {', '.join(COLUMNS)}."
    )
