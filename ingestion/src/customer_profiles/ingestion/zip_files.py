"""Zip files, as Kaggle and spreadsheets write them: the one member that holds events is read."""

from __future__ import annotations

import shlex
import tempfile
import zipfile
from io import BufferedReader
from typing import IO

from customer_profiles.common.errors import PipelineError
from customer_profiles.ingestion.containers import (
    DATA_ERRORS,
    READ_BYTES,
    ByteStream,
    PeekableStream,
    shell_name,
)


def open_zip(stream: PeekableStream, raw: BufferedReader | None, label: str) -> ByteStream:
    """Open the one member of a zip file that holds events.

    Args:
        stream: the zip file.
        raw: the same file, if `stream` is a file or pipe and not the content of a container.
        label: the input's name in errors.

    Raises:
        PipelineError: the file has no member with events or several, or cannot be decompressed.
        OSError: the file is damaged.
    """
    file: IO[bytes]
    if raw is not None and raw.seekable():
        raw.seek(0)
        file = raw
    else:
        # The list of members is at the end, so a pipe has to be kept.
        file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the stream
        while data := stream.read(READ_BYTES):
            file.write(data)
    try:
        archive = zipfile.ZipFile(file)
    except (*DATA_ERRORS, OSError) as error:
        raise OSError(f"the zip file is damaged: {error}") from error
    names = [info.filename for info in archive.infolist()]
    if "[Content_Types].xml" in names:
        raise PipelineError(
            f"{label} is an Excel workbook, which cannot be read.\nIn Excel, save it as CSV UTF-8."
        )
    member = _choose_member(archive, label)
    if member.flag_bits & 1:
        raise PipelineError(
            f"{label} is encrypted.\nGive its password to unzip: "
            f"unzip -P … {_unzip_arguments(label, member.filename)} | make ingest FILE=-"
        )
    try:
        return archive.open(member)
    except NotImplementedError as error:
        raise PipelineError(
            f"{label} has a compression that cannot be read: {error}.\n"
            f"7z x -so {shell_name(label)} | make ingest FILE=-"
        ) from error
    except (*DATA_ERRORS, OSError) as error:
        raise OSError(f"the zip file is damaged: {error}") from error


def _choose_member(archive: zipfile.ZipFile, label: str) -> zipfile.ZipInfo:
    members = [
        info
        for info in archive.infolist()
        if not info.is_dir()
        and not info.filename.startswith("__MACOSX/")
        and not info.filename.rpartition("/")[2].startswith(".")
    ]
    tables = [info for info in members if ".csv" in info.filename.lower()] or members
    if len(tables) == 1:
        return tables[0]
    if not tables:
        raise PipelineError(f"{label} has no members.\nName a file with events: FILE=…")
    shown = (_unzip_arguments(label, info.filename) for info in tables[:20])
    lines = "\n".join(f"  unzip -p {arguments} | make ingest FILE=-" for arguments in shown)
    raise PipelineError(
        f"{label} has {len(tables)} members with events. Ingest each of them by its name:\n{lines}"
    )


def _unzip_arguments(label: str, member: str) -> str:
    # unzip reads wildcards in the names of members.
    escaped = "".join(f"\\{letter}" if letter in "*?[\\" else letter for letter in member)
    return f"{shell_name(label)} {shlex.quote(escaped)}"
