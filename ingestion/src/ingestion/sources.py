"""Read CSV in blocks of whole lines, in bounded memory: from a file or from standard input."""

from __future__ import annotations

import csv
import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from contracts import COLUMNS
from contracts.rules import canonical_time
from ingestion.errors import IngestError

BLOCK_BYTES = 4 * 1024 * 1024
"""About 33,000 rows: one transaction, unless `BLOCK_MB` says otherwise."""
MAX_HEADER_BYTES = 64 * 1024
BOM = b"\xef\xbb\xbf"
COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
"""By the first bytes: a pipe has no name, and a name may lie."""


class Stream(Protocol):
    """Bytes from a beginning to an end."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most `size`; none at the end."""


class Input(Protocol):
    """Where rows come from; can be read from its beginning until `open` is told that it is the last time."""

    label: str
    """What people call it."""
    name: str
    """What a new source of it is called."""
    size: int | None
    """Bytes, where they are known before it is read."""

    def open(self, last: bool = False) -> AbstractContextManager[Stream]:
        """The text from the beginning, decompressed on the way."""


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


class FileInput:
    """A file: `.csv`, or compressed with gzip or zstd."""

    def __init__(self, path: Path) -> None:
        """Name a file.

        Raises:
            IngestError: there is no such file, it is a folder or it may not be read.
        """
        if path.exists() and not path.is_file():
            raise IngestError(f"{path} is not a file.\nName a CSV file: make ingest FILE=path/to/events.csv")
        self.label, self.name = str(path), path.name
        self._path = path
        with self.open() as stream:
            self.size: int | None = path.stat().st_size if isinstance(stream, BufferedReader) else None

    @contextmanager
    def open(self, last: bool = False) -> Iterator[Stream]:  # noqa: ARG002 - a file can always be read again
        try:
            raw = self._path.open("rb")
        except FileNotFoundError as error:
            raise IngestError(
                f"There is no file {self._path}.\n"
                "Make one with `make sample`, or name yours: make ingest FILE=path/to/events.csv"
            ) from error
        except OSError as error:
            raise IngestError(f"{self._path} cannot be read: {error}.\nName a CSV file: make ingest FILE=…") from error
        with raw:
            yield _decompressed(raw)


class StreamInput:
    """Standard input, or any other stream that can be read only once.

    To tell which source it is, its beginning is compared with what is in already. That beginning
    is kept in a temporary file, so that memory is bounded, and read again from there.
    """

    label = "standard input"
    name = "stdin"
    size: int | None = None

    def __init__(self, raw: BufferedReader) -> None:
        """Read from a stream of bytes, compressed with gzip or zstd or not at all."""
        self._live = _decompressed(raw)
        self._kept = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the input
        self._kept_bytes = 0
        self._keep = True

    @contextmanager
    def open(self, last: bool = False) -> Iterator[Stream]:
        self._keep = not last
        yield _FromTheBeginning(self)

    def read_at(self, position: int, size: int) -> bytes:
        """Bytes that are kept, or the next ones of the stream, which stands at the end of those."""
        if position < self._kept_bytes:
            self._kept.seek(position)
            return self._kept.read(min(size, self._kept_bytes - position))
        data = self._live.read(size)
        if self._keep:
            self._kept.seek(position)
            self._kept.write(data)
            self._kept_bytes += len(data)
        return data


class _FromTheBeginning:
    def __init__(self, source: StreamInput) -> None:
        self._source = source
        self._position = 0

    def read(self, size: int, /) -> bytes:
        data = self._source.read_at(self._position, size)
        self._position += len(data)
        return data


def _decompressed(raw: BufferedReader) -> Stream:
    start = raw.peek(4)
    for magic, compression in COMPRESSIONS.items():
        if start.startswith(magic):
            stream: Stream = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), compression)
            return stream
    return raw


def read_blocks(source: Input, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """A source from its beginning, for the last time, cut after line feeds; only the last line may lack one.

    Raises:
        IngestError: the source cannot be read to its end.
    """
    digest = hashlib.sha256()
    end = 0
    rest = b""
    with source.open(last=True) as stream:
        while True:
            read = _read_full(source, stream, block_bytes)
            data = rest + read
            cut = data.rfind(b"\n") + 1 if read else len(data)
            rest, data = data[cut:], data[:cut]
            if data:
                digest.update(data)
                end += len(data)
                yield Block(data, end, digest.hexdigest())
            if not read:
                return


def _read_full(source: Input, stream: Stream, size: int) -> bytes:
    """So many bytes, and fewer only at the end: a stream may give them in smaller pieces."""
    pieces = []
    try:
        while size and (data := stream.read(size)):
            pieces.append(data)
            size -= len(data)
    except OSError as error:
        raise IngestError(f"{source.label} cannot be read to its end: {error}. Is it cut short?") from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def digests(source: Input, ends: Sequence[int]) -> Iterator[tuple[int, str]]:
    """SHA-256 of the first `end` bytes for each of the ascending `ends` that a source reaches."""
    digest = hashlib.sha256()
    position = 0
    with source.open() as stream:
        for end in ends:
            while position < end:
                data = _read_full(source, stream, min(1 << 22, end - position))
                if not data:
                    return
                digest.update(data)
                position += len(data)
            yield end, digest.copy().hexdigest()


def check_header(source: Input) -> None:
    """Refuse a source that cannot be ingested, before anything else is done.

    Raises:
        IngestError: as `read_header`.
    """
    with source.open() as stream:
        read_header(source.label, _read_full(source, stream, MAX_HEADER_BYTES))


def read_header(label: str, start: bytes) -> Header:
    """The columns of a source, from its first bytes.

    A header is read by names, in any order. A file without one is recognised by its content: nine
    fields of which the first is a time.

    Args:
        label: what people call the source.
        start: its first bytes, at least the first line.

    Raises:
        IngestError: the source is empty, or a column is missing altogether.
    """
    if not start.strip():
        raise IngestError(f"{label} is empty: it has neither a header nor a row.\nName a file with events: FILE=…")
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
        f"{label} lacks the column{_s(missing)} {', '.join(missing)}; nothing was sent.\n"
        f"Its first line is: {text[:200]}\nThe columns are {', '.join(COLUMNS)}."
    )


def _s(things: Sequence[object]) -> str:
    return "s" if len(things) > 1 else ""
