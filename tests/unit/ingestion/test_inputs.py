"""Files and pipes as people have them: read, or refused by name with the line that helps."""

from __future__ import annotations

import bz2
import gzip
import io
import logging
import lzma
import os
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Callable
from io import BufferedReader, BytesIO
from pathlib import Path

import pyarrow as pa
import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.ingestion import inputs
from customer_profiles.ingestion.blocks import read_full
from customer_profiles.ingestion.header import check_header
from customer_profiles.ingestion.inputs import CsvInput, FileInput, StreamInput
from customer_profiles.ingestion.options import Options
from customer_profiles.ingestion.pipeline import ingest
from customer_profiles.ingestion.report import IngestReport
from customer_profiles.ingestion.sources import Source
from tests.support import HEADER, line
from tests.unit.ingestion.memory_broker import MemoryBroker

TEXT = "\n".join([HEADER, *(line(user_id=str(number)) for number in range(1, 31)), ""])
DATA = TEXT.encode()


def packed(compression: str, data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, compression) as stream:
        stream.write(data)
    return bytes(sink.getvalue())


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("events.csv")
        info.size = len(DATA)
        archive.addfile(info, io.BytesIO(DATA))
    return out.getvalue()


def run(csv_input: CsvInput, *, strict: bool = False) -> IngestReport:
    check_header(csv_input, strict)
    options = Options(max_rejected_share=1, strict=strict)
    report = ingest(csv_input, Source("f", None), MemoryBroker(), lambda *_: None, options)
    assert report.adds_up
    return report


def as_file(data: bytes, folder: Path, strict: bool = False) -> CsvInput:
    path = folder / "events.csv"
    path.write_bytes(data)
    return FileInput(path, strict)


def as_pipe(data: bytes, _: Path, strict: bool = False) -> CsvInput:
    class Pipe(BytesIO):
        def seekable(self) -> bool:
            return False

    return StreamInput(BufferedReader(Pipe(data)), strict)


OpenInput = Callable[..., CsvInput]
OPENERS = pytest.mark.parametrize("open_input", [as_file, as_pipe])
SKIPPABLE_FRAME = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"


@OPENERS
@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(DATA),
        gzip.compress(DATA[:900]) + gzip.compress(DATA[900:]),
        gzip.compress(DATA) + b"\0" * 1000,
        gzip.compress(DATA[:900]) + b"\0" * 512 + gzip.compress(DATA[900:]) + b"\0",
        packed("zstd", DATA),
        packed("zstd", DATA[:900]) + packed("zstd", DATA[900:]),
        SKIPPABLE_FRAME + packed("zstd", DATA),
        packed("lz4", DATA),
        lzma.compress(DATA),
        lzma.compress(DATA[:900]) + lzma.compress(DATA[900:]),
        lzma.compress(DATA) + b"\0" * 8,
        lzma.compress(DATA, lzma.FORMAT_ALONE),
        bz2.compress(DATA),
        bz2.compress(DATA[:900]) + bz2.compress(DATA[900:]),
        zipped(**{"2019-Oct.csv": DATA}),
        zipped(events=DATA),
        zipped(**{"2019-Oct.csv": DATA, "README.md": b"#", "__MACOSX/._2019-Oct.csv": b"\0"}),
        zipped(**{"folder/": b"", "folder/a.csv": DATA}),
        zipped(**{"2019-Oct.csv.gz": gzip.compress(DATA)}),
        gzip.compress(lzma.compress(DATA)),
        b"\xef\xbb\xbf" + DATA,
        gzip.compress(b"\xef\xbb\xbf" + DATA),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.rstrip("\n").encode(),
    ],
    ids=range(24),
)
def test_it_is_read(open_input: OpenInput, data: bytes, tmp_path: Path) -> None:
    report = run(open_input(data, tmp_path))
    assert (report.read, report.accepted, report.normalised) == (30, 30, {})


@OPENERS
@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (TEXT.encode("utf-16"), "encoding"),
        (TEXT.replace("\n", "\r\n").encode("utf-16"), "encoding"),
        (TEXT.encode("utf-16-le"), "encoding"),
        (TEXT.encode("utf-16-be"), "encoding"),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), "encoding"),
        (TEXT.encode("utf-32"), "encoding"),
        (gzip.compress(TEXT.encode("utf-16")), "encoding"),
        (TEXT.replace("\n", "\r").encode(), "line_end"),
        (TEXT.replace("\n", "\r").rstrip("\r").encode(), "line_end"),
        (TEXT.replace(",", ";").encode(), "separator"),
        (TEXT.replace(",", "\t").encode(), "separator"),
        (TEXT.replace(",", " | ").encode(), "separator"),
        (TEXT.partition("\n")[2].replace(",", ";").encode(), "separator"),
    ],
    ids=range(13),
)
def test_it_is_converted_and_counted_or_refused_by_a_strict_run(
    open_input: OpenInput, data: bytes, kind: str, tmp_path: Path
) -> None:
    report = run(open_input(data, tmp_path))
    assert (report.read, report.accepted, report.normalised) == (30, 30, {kind: 30})
    with pytest.raises(PipelineError, match=r"STRICT=1|lacks the columns"):
        run(open_input(data, tmp_path, strict=True), strict=True)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf\n", "is empty"),
        (gzip.compress(b""), "is empty"),
        (zipped(**{"a.csv": DATA, "b b.csv": DATA}), r"unzip -p \S+ 'b b.csv' \| make ingest"),
        (zipped(), "without members"),
        (zipped(**{"[Content_Types].xml": b"<", "xl/a.xml": b"<"}), "Excel.*(?s:.)*CSV UTF-8"),
        (tarred(), "tar -xOf"),
        (gzip.compress(tarred()), "tar archive"),
        (b"PAR1" + bytes(100), "Parquet"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(100), "7z x -so"),
        (b"Rar!\x1a\x07" + bytes(100), "unrar"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), "Excel"),
        (b"<!DOCTYPE html>\n<html>", "web page"),
        (b'{"event_time": "2019-10-01"}\n', "JSON"),
        (b"\x7fELF\x02\x01\x01" + bytes(range(256)), "lacks the columns"),
        (b"a\x00b\x1b[31m\n", r"\\x1b\[31m"),
        (HEADER.replace(",price", "").encode(), "lacks the column price"),
        (gzip.compress(DATA)[:-20], "cut short"),
        (gzip.compress(DATA)[:12], "cut short"),
        (gzip.compress(DATA) + b"garbage", "cannot be read to its end"),
        (lzma.compress(DATA) + b"garbage", "cannot be read to its end"),
        (lzma.compress(DATA)[:-20], "cut short"),
        (bz2.compress(DATA)[:-20], "cut short"),
        (packed("zstd", DATA)[:-20], "cut short"),
        (zipped(**{"a.csv": DATA})[:-20], "cut short"),
        (TEXT.encode("utf-16")[:-1], "cut short"),
    ],
    ids=range(26),
)
@OPENERS
def test_it_is_refused_by_name(
    open_input: OpenInput, data: bytes, words: str, tmp_path: Path
) -> None:
    with pytest.raises(PipelineError, match=words) as failure:
        run(open_input(data, tmp_path))
    assert all(letter.isprintable() or letter == "\n" for letter in str(failure.value))


def test_an_encrypted_zip_is_refused_with_the_line_that_decrypts_it(tmp_path: Path) -> None:
    data = bytearray(zipped(**{"a.csv": DATA}))
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(PipelineError, match="unzip -P"):
        run(as_file(bytes(data), tmp_path))


def test_a_row_with_half_a_surrogate_is_rejected_alone(tmp_path: Path) -> None:
    text = TEXT + line(brand="\ud800") + "\n"
    report = run(as_file(text.encode("utf-16", "surrogatepass"), tmp_path))
    assert (report.accepted, report.reasons) == (30, {"not_utf8": 1})


def test_a_column_named_twice_is_refused_with_the_line_that_renames_it(tmp_path: Path) -> None:
    rows = DATA.replace(b"\n", b",7\n").replace(b"user_session,7", b"user_session,user_id")
    with pytest.raises(PipelineError, match=r"the column user_id more than once") as failure:
        run(as_file(rows, tmp_path))
    sed = next(text for text in str(failure.value).splitlines() if "sed" in text)
    command = sed.replace("make ingest FILE=-", "cat")
    renamed = subprocess.run(["bash", "-c", command], capture_output=True, check=True).stdout
    assert run(as_pipe(renamed, tmp_path)).accepted == 30


def test_optional_columns_may_be_absent(tmp_path: Path) -> None:
    rows = [text.split(",") for text in TEXT.splitlines()]
    data = "\n".join(",".join(fields[:3] + fields[6:]) for fields in rows).encode()
    report = run(as_file(data, tmp_path))
    assert (report.accepted, report.normalised) == (30, {"missing_column": 90})
    with pytest.raises(PipelineError, match="lacks the columns category_id, category_code, brand"):
        run(as_file(data, tmp_path, strict=True), strict=True)


def test_joined_files_have_one_reason_per_header(tmp_path: Path) -> None:
    report = run(as_file(DATA + b"\xef\xbb\xbf" + DATA, tmp_path))
    assert (report.read, report.accepted, report.duplicates) == (61, 30, 30)
    assert report.reasons == {"repeated_header": 1}


def test_a_pipe_named_as_a_file_gets_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    for name in (path, Path("/dev/fd/63")):
        with pytest.raises(PipelineError, match=r"command \| make ingest FILE=-"):
            FileInput(name)


def test_a_name_that_no_system_takes_is_refused() -> None:
    with pytest.raises(PipelineError, match="cannot be read"):
        FileInput(Path("x" * 5000))


def test_a_name_that_is_not_utf8_is_shown_with_escapes(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.csv"
    with open(path, "wb") as file:
        file.write(DATA)
    csv_input = FileInput(Path(os.fsdecode(path)))
    assert csv_input.name == "caf\\xe9.csv"
    assert run(csv_input).accepted == 30


def test_a_slow_pipe_says_what_it_waits_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(inputs, "SLOW_S", 0.05)
    reading, writing = os.pipe()
    sent = threading.Timer(0.3, lambda: (os.write(writing, DATA), os.close(writing)))
    sent.start()
    with open(reading, "rb") as raw, caplog.at_level(logging.INFO):
        assert run(StreamInput(raw)).accepted == 30
    assert sum("Waiting for more data" in text for text in caplog.messages) == 1


def test_the_header_of_a_live_pipe_is_read_before_the_pipe_ends() -> None:
    reading, writing = os.pipe()
    os.write(writing, DATA)
    with open(reading, "rb") as raw:
        stream_input = StreamInput(raw)
        check_header(stream_input)
        os.close(writing)
        with stream_input.open(last=True) as stream:
            assert read_full("pipe", stream, len(DATA) + 1) == DATA
