"""Read a CSV file in blocks of whole lines, in bounded memory."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from contracts import COLUMNS
from contracts.rules import canonical_time
from ingestion.errors import IngestError

BLOCK_BYTES = 6 * 1024 * 1024
"""About 50,000 rows: one transaction."""
MAX_HEADER_BYTES = 64 * 1024
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of a source."""

    data: bytes
    end: int
    """Bytes of the source up to the end of this block, after decompression."""
    digest: str
    """SHA-256 of the source up to `end`: what a later run compares before it continues."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the columns of a file are."""

    columns: tuple[str, ...]
    size: int
    """Bytes before the first row."""


def open_stream(path: Path) -> pa.NativeFile:
    """The file's text; `.gz` and `.zst` are decompressed on the way.

    Raises:
        IngestError: there is no such file, it is a folder or it may not be read.
    """
    try:
        return pa.input_stream(str(path), compression="detect", buffer_size=BLOCK_BYTES)
    except FileNotFoundError as error:
        raise IngestError(
            f"There is no file {path}.\nMake one with `make sample`, or name yours: make ingest FILE=path/to/events.csv"
        ) from error
    except OSError as error:
        raise IngestError(f"{path} cannot be read: {error}.\nName a CSV file: make ingest FILE=…") from error


def read_blocks(path: Path, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """The file from its beginning, cut after line feeds; only the last line may lack one.

    Raises:
        IngestError: the file cannot be read to its end.
    """
    digest = hashlib.sha256()
    end = 0
    rest = b""
    with open_stream(path) as stream:
        while True:
            try:
                read = stream.read(block_bytes)
            except OSError as error:
                raise IngestError(f"{path} cannot be read beyond byte {end}: {error}. Is it cut short?") from error
            data = rest + read
            cut = data.rfind(b"\n") + 1 if read else len(data)
            rest, data = data[cut:], data[:cut]
            if data:
                digest.update(data)
                end += len(data)
                yield Block(data, end, digest.hexdigest())
            if not read:
                return


def check_header(path: Path) -> None:
    """Refuse a file that cannot be ingested, before anything else is done.

    Raises:
        IngestError: as `open_stream` and `read_header`.
    """
    with open_stream(path) as stream:
        read_header(path, stream.read(MAX_HEADER_BYTES))


def read_header(path: Path, start: bytes) -> Header:
    """The columns of a file, from its first bytes.

    A header is read by names, in any order. A file without one is recognised by its content: nine
    fields of which the first is a time.

    Raises:
        IngestError: the file is empty, or a column is missing altogether.
    """
    if not start.strip():
        raise IngestError(f"{path} is empty: it has neither a header nor a row.\nName a file with events: FILE=…")
    line, _, _ = start.partition(b"\n")
    size = min(len(line) + 1, len(start))
    text = line.removeprefix(BOM).decode("utf-8", "replace").rstrip("\r")
    fields = [field.strip() for field in next(csv.reader([text]), [])]
    names = [field.lower() for field in fields]
    missing = [column for column in COLUMNS if column not in names]
    if not missing:
        return Header(tuple(names), size)
    if len(fields) == len(COLUMNS) and canonical_time(fields[0]):
        return Header(COLUMNS, len(BOM) if start.startswith(BOM) else 0)
    raise IngestError(
        f"{path} lacks the column{_s(missing)} {', '.join(missing)}; nothing was sent.\n"
        f"Its first line is: {text[:200]}\nThe columns are {', '.join(COLUMNS)}."
    )


def _s(things: Sequence[object]) -> str:
    return "s" if len(things) > 1 else ""
