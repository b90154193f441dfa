"""Where CSV comes from: a file or standard input, decompressed on the way."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from customer_profiles.common.errors import PipelineError

COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
"""Compression by the first bytes of the data. A pipe has no file name, and a name may be wrong."""


class ByteStream(Protocol):
    """Bytes that are read once, from beginning to end."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most `size` of them, and none at the end."""


class CsvInput(Protocol):
    """CSV that can be read from its beginning several times, until `open(last=True)`."""

    label: str
    """How messages to the user call the input: a path, or "standard input"."""
    name: str
    """The name of the source, if this input turns out to be a new one."""
    size: int | None
    """Bytes before decompression; None if unknown, as for a pipe or a compressed file."""

    def open(self, last: bool = False) -> AbstractContextManager[ByteStream]:
        """Open the decompressed text at its beginning.

        Args:
            last: the caller will not open the input again, so nothing needs to be kept for it.

        Raises:
            PipelineError: the input cannot be opened.
        """


class FileInput:
    """A CSV file: plain, or compressed with gzip or zstd.

    Args:
        path: the file.

    Raises:
        PipelineError: the file does not exist, is a folder or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        if path.exists() and not path.is_file():
            raise PipelineError(
                f"{path} is not a file.\nName a CSV file: make ingest FILE=path/to/events.csv"
            )
        self.label, self.name = str(path), path.name
        self._path = path
        with self.open() as stream:
            is_plain = isinstance(stream, BufferedReader)
        self.size: int | None = path.stat().st_size if is_plain else None

    @contextmanager
    def open(self, last: bool = False) -> Iterator[ByteStream]:  # noqa: ARG002 - files are re-readable
        """Open the decompressed text at its beginning; see `CsvInput.open`."""
        try:
            raw = self._path.open("rb")
        except FileNotFoundError as error:
            raise PipelineError(
                f"There is no file {self._path}.\n"
                "Make one with `make sample`, or name yours: make ingest FILE=path/to/events.csv"
            ) from error
        except OSError as error:
            raise PipelineError(
                f"{self._path} cannot be read: {error}.\nName a CSV file: make ingest FILE=…"
            ) from error
        with raw:
            yield _decompress(raw)


class StreamInput:
    """Standard input, or any other stream that can be read only once.

    To recognise the source, the beginning of the stream is compared with what has been ingested. A
    temporary file keeps that beginning, so it can be read again with bounded memory.

    Args:
        raw: the stream: plain, or compressed with gzip or zstd.
    """

    label = "standard input"
    name = "stdin"
    size: int | None = None

    def __init__(self, raw: BufferedReader) -> None:
        self._live = _decompress(raw)
        self._buffer = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the input
        self._buffered_bytes = 0
        self._is_buffering = True

    @contextmanager
    def open(self, last: bool = False) -> Iterator[ByteStream]:
        """Open the decompressed text at its beginning; see `CsvInput.open`."""
        self._is_buffering = not last
        yield _RereadableStream(self)

    def read_at(self, position: int, size: int) -> bytes:
        """Return at most `size` bytes from `position` on.

        The bytes come from the buffer if it reaches that far, else from the live stream, which
        stands where the buffer ends.
        """
        if position < self._buffered_bytes:
            self._buffer.seek(position)
            return self._buffer.read(min(size, self._buffered_bytes - position))
        data = self._live.read(size)
        if self._is_buffering:
            self._buffer.seek(position)
            self._buffer.write(data)
            self._buffered_bytes += len(data)
        return data


class _RereadableStream:
    """One pass over a `StreamInput`, from its beginning."""

    def __init__(self, source: StreamInput) -> None:
        self._source = source
        self._position = 0

    def read(self, size: int, /) -> bytes:
        data = self._source.read_at(self._position, size)
        self._position += len(data)
        return data


def _decompress(raw: BufferedReader) -> ByteStream:
    start = raw.peek(4)
    for magic, compression in COMPRESSIONS.items():
        if start.startswith(magic):
            stream: ByteStream = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), compression)
            return stream
    return raw
