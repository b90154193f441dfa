"""Compressed inputs: recognised by their first bytes and decompressed on the way.

A pipe has no file name, and a name may be wrong, so only the content counts.
"""

from __future__ import annotations

import bz2
import lzma
import shlex
import zipfile
import zlib
from collections.abc import Callable
from io import BufferedReader
from typing import Protocol

import pyarrow as pa

from customer_profiles.common.errors import PipelineError

READ_BYTES = 1024 * 1024
MAX_DEPTH = 3
"""Containers inside each other, such as a gzip file in a zip file."""

STANDARD_INPUT = "standard input"
"""How messages call a pipe."""
ZIP = b"PK\x03\x04"
_TAR_MARK = slice(257, 262)
DATA_ERRORS = (EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
"""What decompressors raise on damaged data, besides OSError. pyarrow's errors are among them."""

_UNREADABLE: dict[bytes, tuple[str, str]] = {
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "7z x -so {0} | make ingest FILE=-"),
    b"Rar!\x1a\x07": ("a RAR archive", "unrar p -inul {0} | make ingest FILE=-"),
    b"\x1f\x9d": ("a file of compress", "zcat {0} | make ingest FILE=-"),
    b"PAR1": (
        "a Parquet file",
        "duckdb -csv -c \"from '{0}'\" | make ingest FILE=-",
    ),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", "In Excel, save it as CSV UTF-8."),
    b"%PDF": ("a PDF document", "Name a file with events: FILE=…"),
    b"PK\x05\x06": ("a zip file without members", "Name a file with events: FILE=…"),
    b"PK\x07\x08": ("one part of a zip file", "Join the parts first: zip -s 0 {0} --out whole.zip"),
}
"""What cannot be read, by its first bytes: what it is, and the line that helps."""


class ByteStream(Protocol):
    """Bytes that are read once, from beginning to end."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most `size` of them, and none at the end."""


class PeekableStream:
    """A stream whose beginning can be looked at. Damaged data raise an OSError.

    Args:
        stream: the stream, at its beginning.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._start = b""

    def peek(self, size: int, until: bytes | None = None) -> bytes:
        """Return the first bytes: `size` of them, or fewer at the end or once `until` occurs."""
        while len(self._start) < size and not (until and until in self._start):
            data = self._read(size - len(self._start))
            if not data:
                break
            self._start += data
        return self._start

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most `size` of them, and none at the end."""
        if self._start:
            data, self._start = self._start[:size], self._start[size:]
            return data
        return self._read(size)

    def _read(self, size: int) -> bytes:
        try:
            if isinstance(self._stream, BufferedReader):
                # Whatever has arrived: a slow pipe still shows its first line at once.
                return self._stream.read1(size) if size < READ_BYTES else self._stream.read(size)
            return self._stream.read(size)
        except DATA_ERRORS as error:
            raise OSError(str(error) or "the data end too early") from error


class _Decompressor(Protocol):
    """One member of a compressed file, as `bz2` and `lzma` decompress it."""

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""

    @property
    def needs_input(self) -> bool:
        """Whether there is nothing left to decompress."""

    @property
    def unused_data(self) -> bytes:
        """What follows the end of the member."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return at most `max_length` bytes."""


class _GzipDecompressor:
    """`zlib` with the methods of `_Decompressor`."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(31)
        self.eof, self.needs_input, self.unused_data = False, True, b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        decompressed = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        self.eof, self.unused_data = self._zlib.eof, self._zlib.unused_data
        self.needs_input = not self._zlib.unconsumed_tail
        return decompressed


class _MemberStream:
    """Compressed members, one after another, with zeros behind them as block devices add."""

    def __init__(self, raw: ByteStream, create: Callable[[], _Decompressor]) -> None:
        self._raw, self._create = raw, create
        self._member: _Decompressor | None = None
        self._next = b""
        """What follows a member that has ended."""

    def read(self, size: int, /) -> bytes:
        while True:
            compressed = b""
            if self._member is None:
                compressed = self._next or self._raw.read(READ_BYTES)
                if not compressed:
                    return b""
                compressed, self._next = compressed.lstrip(b"\0"), b""
                if not compressed:
                    continue
                self._member = self._create()
            elif self._member.needs_input:
                compressed = self._raw.read(READ_BYTES)
            is_stuck = self._member.needs_input and not compressed
            data = self._member.decompress(compressed, size)
            if self._member.eof:
                self._next, self._member = self._member.unused_data, None
            elif is_stuck and not data:
                raise EOFError("the compressed data end too early")
            if data:
                return data


def decompress(raw: BufferedReader, label: str) -> tuple[PeekableStream, bool]:
    """Open the content of a file or pipe.

    Args:
        raw: plain data, or data compressed with gzip, zstd, xz, bzip2, lz4 or zip.
        label: the input's name in errors.

    Returns:
        The content at its beginning, and whether it was compressed.

    Raises:
        PipelineError: the data are in a format that cannot be read, or a zip file does not have
            exactly one member with events.
        OSError: the data are damaged.
    """
    stream = PeekableStream(raw)
    for depth in range(MAX_DEPTH + 1):
        start = stream.peek(6, until=b"\n")
        if start.startswith(ZIP):
            # Imported here, because few inputs are zip files.
            from customer_profiles.ingestion.zip_files import open_zip  # noqa: PLC0415

            stream = PeekableStream(open_zip(stream, raw if depth == 0 else None, label))
            continue
        opener = next((open_ for magic, open_ in _OPENERS.items() if start.startswith(magic)), None)
        if opener is None:
            _refuse_unreadable(stream, start, label)
            return stream, depth > 0
        stream = PeekableStream(opener(stream))
    raise PipelineError(f"{label} is compressed more than {MAX_DEPTH} times.\nDecompress it first.")


def _refuse_unreadable(stream: PeekableStream, start: bytes, label: str) -> None:
    for magic, (kind, remedy) in _UNREADABLE.items():
        if start.startswith(magic):
            line = remedy.format(shell_name(label))
            raise PipelineError(f"{label} is {kind}, which cannot be read.\n{line}")
    if stream.peek(512, until=b"\n")[_TAR_MARK] == b"ustar":
        raise PipelineError(
            f"{label} is a tar archive, which cannot be read.\n"
            f"Name its member: tar -xOf {shell_name(label)} events.csv | make ingest FILE=-"
        )


def shell_name(label: str) -> str:
    """Return the name of an input as it stands in a command, quoted for a shell."""
    return "FILE" if label == STANDARD_INPUT else shlex.quote(label)


def _members(create: Callable[[], _Decompressor]) -> Callable[[PeekableStream], ByteStream]:
    return lambda stream: _MemberStream(stream, create)


def _arrow(compression: str) -> Callable[[PeekableStream], ByteStream]:
    def opener(stream: PeekableStream) -> ByteStream:
        decompressed: ByteStream = pa.CompressedInputStream(
            pa.PythonFile(_ArrowFile(stream), mode="r"), compression
        )
        return decompressed

    return opener


class _ArrowFile:
    """The methods that pyarrow needs of a file."""

    closed = False

    def __init__(self, stream: PeekableStream) -> None:
        self.read = stream.read

    def close(self) -> None:
        self.closed = True


_OPENERS: dict[bytes, Callable[[PeekableStream], ByteStream]] = {
    b"\x1f\x8b": _members(_GzipDecompressor),
    b"\x28\xb5\x2f\xfd": _arrow("zstd"),
    b"\x50\x2a\x4d\x18": _arrow("zstd"),
    b"\x04\x22\x4d\x18": _arrow("lz4"),
    b"\xfd7zXZ\x00": _members(lzma.LZMADecompressor),
    b"\x5d\x00\x00": _members(lzma.LZMADecompressor),
    b"BZh": _members(bz2.BZ2Decompressor),
}
"""How to decompress data, by their first bytes."""
