"""Exposures out of files that a shop exports: CSV with a header, or JSON lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts.exposure import (
    EXPOSURE_COLUMNS,
    Exposure,
    InvalidExposureError,
    check_exposure,
)

MAX_SHOWN = 5
"""Rejected rows that an error names; all are counted."""


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row of a file that is no exposure."""

    number: int
    """The number of the row; the header is none."""
    why: str


def read_exposure_file(path: Path) -> tuple[list[Exposure], list[RejectedRow]]:
    """Read all exposures of a file.

    Args:
        path: a CSV file whose header has `EXPOSURE_COLUMNS` in any order, or a file of JSON lines
            (`.jsonl`, `.ndjson`) with these names. Other columns are ignored.

    Returns:
        The exposures, and the rows that are none.

    Raises:
        PipelineError: the file cannot be read, or lacks a column.
    """
    exposures: list[Exposure] = []
    rejected: list[RejectedRow] = []
    try:
        rows = _json_rows(path) if path.suffix in (".jsonl", ".ndjson") else _csv_rows(path)
        for number, row in enumerate(rows, 1):
            try:
                if isinstance(row, str):
                    raise InvalidExposureError([], row)
                exposures.append(check_exposure(row))
            except InvalidExposureError as error:
                rejected.append(RejectedRow(number, str(error)))
    except FileNotFoundError as error:
        raise PipelineError(f"There is no file {path}.\nName one: make expose FILE=…") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PipelineError(f"{path} cannot be read: {error}") from error
    return exposures, rejected


def refuse_rejected(path: Path, rejected: list[RejectedRow]) -> None:
    """Refuse a file with rows that are no exposures, before anything is sent.

    Raises:
        PipelineError: there are such rows; the message names the first of them.
    """
    if rejected:
        lines = [f"  row {row.number}: {row.why}" for row in rejected[:MAX_SHOWN]]
        raise PipelineError(
            f"{len(rejected):,} rows of {path} are no exposures, and nothing was sent:\n"
            + "\n".join(lines)
            + "\nCorrect them, and run the command again."
        )


def _csv_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in EXPOSURE_COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise PipelineError(
                f"{path} lacks the columns {', '.join(missing)}.\n"
                f"Its header has to name {', '.join(EXPOSURE_COLUMNS)}."
            )
        for row in reader:
            yield {name: (row[name] or "").strip() for name in EXPOSURE_COLUMNS}


def _json_rows(path: Path) -> Iterator[Mapping[str, Any] | str]:
    """Yield the objects of a file of JSON lines; for any other line, what is wrong with it."""
    with path.open(encoding="utf-8-sig") as file:
        for line in file:
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield f"it is no JSON ({error})"
                continue
            yield row if isinstance(row, dict) else "it is no JSON object"
