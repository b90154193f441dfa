"""Where CSV comes from: a file or standard input, decompressed and converted on the way."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Protocol

from customer_profiles.common.console import printable
from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import Leniency
from customer_profiles.ingestion.containers import (
    STANDARD_INPUT,
    ByteStream,
    PeekableStream,
    decompress,
)
from customer_profiles.ingestion.encodings import to_text

logger = logging.getLogger(__name__)

SLOW_S = 3.0
"""Seconds without data after which a pipe is slow."""


class CsvInput(Protocol):
    """CSV that can be read from its beginning several times, until `open(last=True)`."""

    label: str
    """How messages to the user call the input: a path, or "standard input"."""
    name: str
    """The name of the source, if this input turns out to be a new one."""
    size: int | None
    """Bytes of the text; None if unknown, as for a pipe or a compressed file."""
    converted: Sequence[Leniency]
    """What is converted in the whole text: its encoding or its line ends."""

    def open(self, last: bool = False) -> AbstractContextManager[ByteStream]:
        """Open the decompressed text at its beginning.

        Args:
            last: the caller will not open the input again, so nothing needs to be kept for it.

        Raises:
            PipelineError: the input cannot be opened.
        """


class FileInput:
    """A CSV file: plain, or in a container that `containers.decompress` reads.

    Args:
        path: the file.
        strict: refuse a text that would have to be converted.

    Raises:
        PipelineError: the file does not exist, is a folder or cannot be read.
    """

    def __init__(self, path: Path, strict: bool = False) -> None:
        # A name can hold bytes that are not UTF-8, which neither a terminal nor a message takes.
        self.label = printable(os.fsencode(path).decode(errors="backslashreplace"), 1000)
        self.name = printable(os.fsencode(path.name).decode(errors="backslashreplace"), 1000)
        self._path, self._strict = path, strict
        try:
            self._refuse_other_kinds()
        except OSError as error:
            raise PipelineError(
                f"{self.label} cannot be read: {error.strerror}.\nName a CSV file: FILE=…"
            ) from error
        with self._open_file() as raw:
            _, is_compressed, converted = _open_text(raw, self.label, strict)
        self.converted: Sequence[Leniency] = converted
        is_plain = not is_compressed and not converted
        self.size: int | None = path.stat().st_size if is_plain else None

    def _refuse_other_kinds(self) -> None:
        """Refuse what is not a regular file."""
        if self._path.is_fifo() or str(self._path).startswith(("/dev/fd/", "/proc/self/fd/")):
            raise PipelineError(
                f"{self.label} is a pipe, which only one program can read, and only once.\n"
                "Instead of FILE=<(command): command | make ingest FILE=-"
            )
        if self._path.exists() and not self._path.is_file():
            raise PipelineError(
                f"{self.label} is not a file.\nName a CSV file: make ingest FILE=path/to/events.csv"
            )

    @contextmanager
    def open(self, last: bool = False) -> Iterator[ByteStream]:  # noqa: ARG002 - files are re-readable
        """Open the text at its beginning; see `CsvInput.open`."""
        with self._open_file() as raw:
            yield _open_text(raw, self.label, self._strict)[0]

    def _open_file(self) -> BufferedReader:
        try:
            return self._path.open("rb")
        except FileNotFoundError as error:
            raise PipelineError(
                f"There is no file {self.label}.\n"
                "Make one with `make sample`, or name yours: make ingest FILE=path/to/events.csv"
            ) from error
        except (OSError, ValueError) as error:
            raise PipelineError(
                f"{self.label} cannot be read: {error}.\nName a CSV file: make ingest FILE=…"
            ) from error


class StreamInput:
    """Standard input, or any other stream that can be read only once.

    To recognise the source, the beginning of the stream is compared with what has been ingested. A
    temporary file keeps that beginning, so it can be read again with bounded memory.

    Args:
        raw: the stream: plain, or in a container that `containers.decompress` reads.
        strict: refuse a text that would have to be converted.
    """

    label = STANDARD_INPUT
    name = "stdin"
    size: int | None = None

    def __init__(self, raw: BufferedReader, strict: bool = False) -> None:
        self._has_said_slow = False
        self._buffered_bytes = 0
        with self._watched():
            self._live, _, converted = _open_text(raw, self.label, strict)
        self.converted: Sequence[Leniency] = converted
        self._buffer = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the input
        self._is_buffering = True

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Say once what the run waits for, if the stream is slow."""
        if self._has_said_slow:
            yield
            return
        timer = threading.Timer(SLOW_S, self._say_slow)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _say_slow(self) -> None:
        self._has_said_slow = True
        logger.info(
            "Waiting for more data on standard input: the program before the pipe is still "
            "running. Ctrl-C ends the wait.",
            extra={"event": "slow_input"},
        )

    @contextmanager
    def open(self, last: bool = False) -> Iterator[ByteStream]:
        """Open the text at its beginning; see `CsvInput.open`."""
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
        with self._watched():
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


def _open_text(
    raw: BufferedReader, label: str, strict: bool
) -> tuple[PeekableStream, bool, list[Leniency]]:
    """Return the text of a file or pipe, whether it was compressed, and what is converted."""
    try:
        stream, is_compressed = decompress(raw, label)
        text, converted = to_text(stream, label, strict)
    except OSError as error:
        raise PipelineError(f"{label} cannot be read: {error}. Is it cut short?") from error
    return text, is_compressed, converted
