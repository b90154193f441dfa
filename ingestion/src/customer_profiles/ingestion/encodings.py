"""Text that is not UTF-8 with line feeds, converted on the way."""

from __future__ import annotations

import codecs

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import Leniency
from customer_profiles.ingestion.containers import ByteStream, PeekableStream, shell_name

FIRST_LINE_BYTES = 64 * 1024
"""As many bytes as a first line may have."""
_SAMPLE_BYTES = 64

_BYTE_ORDER_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32-le",
    b"\x00\x00\xfe\xff": "utf-32-be",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}


class _TranscodedStream:
    """UTF-16 or UTF-32, read as UTF-8. Characters that do not exist stay invalid in UTF-8."""

    def __init__(self, stream: ByteStream, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        self._is_start = True
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        while not self._rest:
            data = self._stream.read(size)
            text = self._decoder.decode(data, final=not data)
            if self._is_start and text:
                text = text.removeprefix("\ufeff")
                self._is_start = False
            self._rest = text.encode("utf-8", "surrogatepass")
            if not data:
                break
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


class _LineFeedStream:
    """Lines that end in a carriage return, read with line feeds in its place."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        return self._stream.read(size).replace(b"\r", b"\n")


def to_text(
    stream: PeekableStream, label: str, strict: bool
) -> tuple[PeekableStream, list[Leniency]]:
    """Convert a stream to UTF-8 with line feeds.

    Args:
        stream: decompressed data, at their beginning.
        label: the input's name in errors.
        strict: refuse what would have to be converted.

    Returns:
        The text at its beginning, and what is converted.

    Raises:
        PipelineError: the text has to be converted and `strict` is true.
        OSError: the data are damaged.
    """
    converted: list[Leniency] = []
    encoding = _encoding(stream.peek(_SAMPLE_BYTES, until=b"\n"))
    if encoding:
        if strict:
            name = encoding.removesuffix("-le").removesuffix("-be").upper()
            raise PipelineError(
                f"{label} is {name}, not UTF-8, and STRICT=1 converts nothing.\n"
                f"iconv -f {name} -t UTF-8 {shell_name(label)} | make ingest FILE=-"
            )
        stream = PeekableStream(_TranscodedStream(stream, encoding))
        converted.append(Leniency.ENCODING)
    start = stream.peek(FIRST_LINE_BYTES, until=b"\n")
    if b"\r" in start.rstrip(b"\r") and b"\n" not in start:
        if strict:
            raise PipelineError(
                f"The lines of {label} end in a carriage return, and STRICT=1 converts nothing.\n"
                f"tr '\\r' '\\n' < {shell_name(label)} | make ingest FILE=-"
            )
        stream = PeekableStream(_LineFeedStream(stream))
        converted.append(Leniency.LINE_END)
    return stream, converted


def _encoding(start: bytes) -> str | None:
    """Return the encoding of a text that is not UTF-8, by its byte order mark or its zeros."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            return encoding
    # The names of the columns are ASCII, so every other byte of theirs is zero.
    if len(start) > 3 and start[0] and not start[1] and start[2] and not start[3]:
        return "utf-16-le"
    if len(start) > 3 and not start[0] and start[1] and not start[2] and start[3]:
        return "utf-16-be"
    return None
