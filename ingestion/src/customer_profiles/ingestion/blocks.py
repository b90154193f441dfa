"""Read an input in blocks of whole lines, in bounded memory, with a running digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from customer_profiles.common.errors import PipelineError
from customer_profiles.ingestion.containers import ByteStream
from customer_profiles.ingestion.inputs import CsvInput
from customer_profiles.ingestion.lines import KEPT_LINE_BYTES

DIGEST_READ_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of an input, or the beginning of one line that is far too long."""

    data: bytes
    start: int
    """Decompressed bytes of the input before this block."""
    end: int
    """Decompressed bytes of the input up to the end of this block."""
    digest: str
    """SHA-256 of the input up to `end`. A later run compares it before it resumes there."""
    line_bytes: int = 0
    """If the block is one line that is far too long: its length without its line end.

    Then `data` is the first `KEPT_LINE_BYTES + 1` bytes of it, or a line feed if it is blank.
    """


def read_blocks(csv_input: CsvInput, block_bytes: int) -> Iterator[Block]:
    """Read an input for the last time, cut after line feeds. Only the last line may lack one.

    A line of more than `KEPT_LINE_BYTES` that does not end within a block is not kept in memory: it
    becomes a block of its own, with its beginning only.

    Args:
        csv_input: the input.
        block_bytes: bytes of each block, more or less a line.

    Raises:
        PipelineError: the input cannot be read to its end.
    """
    with csv_input.open(last=True) as stream:
        reader = _BlockReader(csv_input.label, stream, block_bytes)
        pending = b""
        while chunk := reader.read():
            lines, pending = _split_at_last_line(pending + chunk)
            if lines:
                yield reader.block(lines)
            while len(pending) > KEPT_LINE_BYTES:
                block, following = reader.skip_line(pending)
                yield block
                lines, pending = _split_at_last_line(following)
                if lines:
                    yield reader.block(lines)
        if pending:
            yield reader.block(pending)


def _split_at_last_line(data: bytes) -> tuple[bytes, bytes]:
    cut = data.rfind(b"\n") + 1
    return data[:cut], data[cut:]


class _BlockReader:
    """Reads chunks and makes blocks of them, each with the digest of everything before its end."""

    def __init__(self, label: str, stream: ByteStream, block_bytes: int) -> None:
        self._label, self._stream, self._block_bytes = label, stream, block_bytes
        self._digest = hashlib.sha256()
        self._end = 0

    def read(self) -> bytes:
        """Return the next bytes, and none at the end."""
        return read_full(self._label, self._stream, self._block_bytes)

    def block(self, lines: bytes) -> Block:
        """Return the next block, which consists of these lines."""
        start = self._end
        self._add(lines)
        return Block(lines, start, self._end, self._digest.hexdigest())

    def skip_line(self, beginning: bytes) -> tuple[Block, bytes]:
        """Read a line to its end without keeping it; return its block and the bytes behind it."""
        start, piece, following, end_mark = self._end, beginning, b"", b""
        kept, is_blank = beginning[: KEPT_LINE_BYTES + 1], True
        while piece:
            line, mark, following = piece.partition(b"\n")
            is_blank = is_blank and not line.strip()
            self._add(line + mark)
            # A line end may be "\r\n", and the two may be in different pieces.
            end_mark = (b"\r" if (line or end_mark).endswith(b"\r") else b"") + mark
            piece = b"" if mark else self.read()
        line_bytes = self._end - start - len(end_mark)
        data = b"\n" if is_blank else kept
        return Block(data, start, self._end, self._digest.hexdigest(), line_bytes), following

    def _add(self, data: bytes) -> None:
        self._digest.update(data)
        self._end += len(data)


def prefix_digests(csv_input: CsvInput, ends: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Compute the SHA-256 of several prefixes of an input in one pass.

    Args:
        csv_input: the input.
        ends: lengths of the prefixes in bytes, ascending.

    Yields:
        Length and hexadecimal digest of each prefix that the input is long enough for.

    Raises:
        PipelineError: the input cannot be read to its end.
    """
    digest = hashlib.sha256()
    position = 0
    with csv_input.open() as stream:
        for end in ends:
            while position < end:
                size = min(DIGEST_READ_BYTES, end - position)
                data = read_full(csv_input.label, stream, size)
                if not data:
                    return
                digest.update(data)
                position += len(data)
            yield end, digest.copy().hexdigest()


def read_full(label: str, stream: ByteStream, size: int, until: bytes = b"") -> bytes:
    """Read `size` bytes, and fewer only at the end of the stream or once `until` occurs.

    A single `read` of a pipe or a compressed file may return less before the end.

    Args:
        label: the input's name in the error.
        stream: the open input.
        size: how many bytes to read.
        until: what ends the reading early, such as a line feed.

    Raises:
        PipelineError: the stream cannot be read to its end.
    """
    pieces = []
    try:
        while size and (data := stream.read(size)):
            pieces.append(data)
            size -= len(data)
            if until and until in data:
                break
    except OSError as error:
        raise PipelineError(
            f"{label} cannot be read to its end: {error}. Is it cut short?"
        ) from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
