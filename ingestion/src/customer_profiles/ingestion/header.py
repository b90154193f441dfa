"""The columns of a CSV input, from its first line."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from customer_profiles.common.console import printable
from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import COLUMNS, OPTIONAL_FIELDS
from customer_profiles.contracts.leniency import is_time
from customer_profiles.ingestion.blocks import read_full
from customer_profiles.ingestion.containers import shell_name
from customer_profiles.ingestion.inputs import CsvInput
from customer_profiles.ingestion.lines import SHOWN_LENGTH, split_header

MAX_HEADER_BYTES = 64 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
_OTHER_TEXTS = {
    "{": "JSON",
    "[": "JSON",
    "<": "a web page or XML",
}
"""What a first line that begins with this character belongs to."""


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of an input and where its rows begin."""

    columns: tuple[str, ...]
    """Names in the order of the input, in lower case, among them `contracts.COLUMNS`.

    Columns that may be null may be absent.
    """
    size: int
    """Bytes before the first row."""
    separator: str = ","
    """The character between two fields."""


def check_header(csv_input: CsvInput, strict: bool = False) -> None:
    """Refuse an input that has no usable header before anything else happens.

    Args:
        csv_input: the input; stays readable from its beginning.
        strict: as for `parse_header`.

    Raises:
        PipelineError: as `parse_header`, or the input cannot be read.
    """
    with csv_input.open() as stream:
        # One byte more than a header may have, which is a line feed or makes it too long.
        start = read_full(csv_input.label, stream, MAX_HEADER_BYTES + 1, until=b"\n")
        parse_header(csv_input.label, start, strict)


def parse_header(label: str, start: bytes, strict: bool = False) -> Header:
    """Return the columns of an input.

    Columns are matched by name, in any order and case. An input without a header is recognised by
    its first row: it has nine fields, and the first of them is a time.

    Args:
        label: the input's name in errors.
        start: the input's first bytes, at least the first line.
        strict: require all nine columns, separated by commas.

    Raises:
        PipelineError: the input is empty, a column is missing or a column occurs twice.
    """
    if not start.removeprefix(BYTE_ORDER_MARK).strip():
        raise PipelineError(
            f"{label} is empty: it has neither a header nor a row.\nName a file with events: FILE=…"
        )
    line, _, _ = start.partition(b"\n")
    if len(line) > MAX_HEADER_BYTES:
        raise PipelineError(
            f"The first line of {label} is longer than {MAX_HEADER_BYTES:,} bytes; nothing was "
            f"sent.\nIt begins with: {printable(line.decode(errors='replace'), SHOWN_LENGTH)}\n"
            "Is it CSV, with a line end after each row?"
        )
    text = line.removeprefix(BYTE_ORDER_MARK).decode("utf-8", "replace").rstrip("\r")
    required = COLUMNS if strict else [name for name in COLUMNS if name not in OPTIONAL_FIELDS]
    for separator in "," if strict else SEPARATORS:
        fields = split_header(text, separator)
        names = [field.lower() for field in fields]
        if set(required) <= set(names):
            _refuse_repeated_names(label, text, names, separator)
            return Header(tuple(names), min(len(line) + 1, len(start)), separator)
        if len(names) == len(COLUMNS) and is_time(fields[0], strict):
            size = len(BYTE_ORDER_MARK) if start.startswith(BYTE_ORDER_MARK) else 0
            return Header(COLUMNS, size, separator)
    raise PipelineError(_describe_missing(label, text, required))


def _refuse_repeated_names(label: str, text: str, names: list[str], separator: str) -> None:
    """Refuse a header that names a column of the contract twice: nobody knows which is meant."""
    repeated = sorted({name for name in names if name in COLUMNS and names.count(name) > 1})
    if not repeated:
        return
    unique = [
        f"{name}_{names[:index].count(name) + 1}" if name in names[:index] else name
        for index, name in enumerate(names)
    ]
    script = "1s/.*/" + separator.join(unique).replace("\\", r"\\").replace("/", r"\/") + "/"
    raise PipelineError(
        f"{label} has the column{'s' if len(repeated) > 1 else ''} {', '.join(repeated)} more than "
        f"once; nothing was sent.\nIts first line is: {printable(text, SHOWN_LENGTH)}\n"
        "Give the columns that are not meant another name. To keep the first of each:\n"
        f"  sed {shlex.quote(printable(script, 2000))} {shell_name(label)} | make ingest FILE=-"
    )


def _describe_missing(label: str, text: str, required: list[str] | tuple[str, ...]) -> str:
    split = {mark: [name.lower() for name in split_header(text, mark)] for mark in SEPARATORS}
    best, names = max(split.items(), key=lambda item: len(set(required) & set(item[1])))
    missing = [column for column in required if column not in names]
    plural = "s" if len(missing) > 1 else ""
    kind = _OTHER_TEXTS.get(text.lstrip()[:1])
    hints = f"\nIt looks like {kind}, not like CSV." if kind else ""
    if not missing:
        missing = list(required)
        hints = f"\nIts fields are separated by {SEPARATORS[best]}; STRICT=1 requires a comma."
    return (
        f"{label} lacks the column{plural} {', '.join(missing)}; nothing was sent.\n"
        f"Its first line is: {printable(text, SHOWN_LENGTH)}{hints}\n"
        f"The columns are {', '.join(COLUMNS)}."
    )
