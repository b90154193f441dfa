"""Read an input in blocks of whole lines, in bounded memory, with a running digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from customer_profiles.common.errors import PipelineError
from customer_profiles.ingestion.containers import ByteStream
from customer_profiles.ingestion.inputs import CsvInput

DIGEST_READ_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of an input."""

    data: bytes
    end: int
    """Decompressed bytes of the input up to the end of this block."""
    digest: str
    """SHA-256 of the input up to `end`. A later run compares it before it resumes there."""

    @property
    def start(self) -> int:
        """Decompressed bytes of the input before this block."""
        return self.end - len(self.data)


def read_blocks(csv_input: CsvInput, block_bytes: int) -> Iterator[Block]:
    """Read an input for the last time, cut after line feeds. Only the last line may lack one.

    Args:
        csv_input: the input.
        block_bytes: bytes of each block, more or less a line. A longer line makes a longer block.

    Raises:
        PipelineError: the input cannot be read to its end.
    """
    digest = hashlib.sha256()
    end = 0
    rest = b""
    with csv_input.open(last=True) as stream:
        while True:
            chunk = read_full(csv_input.label, stream, block_bytes)
            data = rest + chunk
            cut = data.rfind(b"\n") + 1 if chunk else len(data)
            rest, data = data[cut:], data[:cut]
            if data:
                digest.update(data)
                end += len(data)
                yield Block(data, end, digest.hexdigest())
            if not chunk:
                return


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
