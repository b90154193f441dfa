"""A line that is far too long is one dead letter, in bounded memory and without shifting rows."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import DeadLetter
from customer_profiles.ingestion.blocks import read_blocks
from customer_profiles.ingestion.dead_letters import Selection, StoredDeadLetter
from customer_profiles.ingestion.header import check_header
from customer_profiles.ingestion.inputs import StreamInput
from customer_profiles.ingestion.lines import KEPT_LINE_BYTES
from customer_profiles.ingestion.options import Options
from customer_profiles.ingestion.pipeline import ingest
from customer_profiles.ingestion.redrive import plan_selection
from customer_profiles.ingestion.report import IngestReport
from customer_profiles.ingestion.sources import Source, identify_source
from tests.support import HEADER, ROOT, line
from tests.unit.ingestion.memory_broker import Killed, MemoryBroker

LONG = line(brand="x" * 300_000, user_id="99")
BLOCK_BYTES = 1_000
OPTIONS = Options(max_rejected_share=1, block_bytes=BLOCK_BYTES)


def text_input(text: str | bytes) -> StreamInput:
    data = text if isinstance(text, bytes) else text.encode()
    return StreamInput(BufferedReader(BytesIO(data)))


def run(text: str | bytes, broker: MemoryBroker, options: Options = OPTIONS) -> IngestReport:
    csv_input = text_input(text)
    check_header(csv_input)
    source = identify_source(csv_input, broker.progress_records())
    return ingest(csv_input, source, broker, lambda *_: None, options)


def letters(broker: MemoryBroker) -> list[DeadLetter]:
    topic = broker.topics.get("raw_events_dead_letter", [])
    return [DeadLetter.from_json(value) for _, value in topic]


def rows(broker: MemoryBroker) -> list[tuple[str, int]]:
    events = [json.loads(value) for _, value in broker.topics.get("raw_events", [])]
    return [(event["user_id"], event["source_row"]) for event in events]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_long_line_is_one_dead_letter_with_its_beginning_and_length(line_end: str) -> None:
    broker = MemoryBroker()
    lines = [HEADER, line(user_id="1"), LONG, line(user_id="2"), LONG, LONG, line(user_id="3"), ""]
    report = run(line_end.join(lines), broker)
    assert (report.read, report.accepted, report.dead_lettered) == (6, 3, 3)
    assert rows(broker) == [("1", 1), ("2", 3), ("3", 6)]
    assert [letter.source_row for letter in letters(broker)] == [2, 4, 5]
    for letter in letters(broker):
        assert letter.reasons == ["line_too_long"]
        assert letter.text == LONG[:KEPT_LINE_BYTES]
        assert letter.detail == f"a line of {len(LONG):,} bytes, cut after {KEPT_LINE_BYTES:,}"


@pytest.mark.parametrize("block_bytes", [1_000, 100_000, 150_000, 10_000_000])
@pytest.mark.parametrize("size", [65_000, 70_000, 131_072, 131_073, 140_000, 400_000])
def test_blocks_of_any_size_give_the_same_rows(block_bytes: int, size: int) -> None:
    long = line(brand="é" * (size // 2))
    texts = [
        HEADER,
        line(user_id="1"),
        long,
        line(user_id="2"),
        " " * size,
        line(user_id="3"),
        long,
    ]
    broker, whole = MemoryBroker(), MemoryBroker()
    run("\n".join(texts), whole, Options(1, block_bytes=64 * 1024 * 1024))
    run("\n".join(texts), broker, Options(1, block_bytes=block_bytes))
    for topic in ("raw_events", "raw_events_dead_letter"):
        assert broker.topics.get(topic) == whole.topics.get(topic)
    assert [row for user, row in rows(whole) if user in "123"] == [1, 3, 4]


def test_a_line_that_is_not_utf8_is_cut_between_characters() -> None:
    broker = MemoryBroker()
    run(
        b"\n".join([HEADER.encode(), b"\xff" + "é".encode() * 100_000, b"\xe2\x82" * 50_000]),
        broker,
    )
    first, second = letters(broker)
    assert first.reasons == second.reasons == ["line_too_long"]
    assert first.text.startswith("\\xffé")
    assert first.text.endswith("é")
    assert second.text.endswith("\\xe2\\x82")


@pytest.mark.parametrize("byte", [b"\0", b"\x1b", b"\xff", b'"', b"\\", b"x"])
def test_the_letter_of_a_long_line_fits_into_a_message(byte: bytes) -> None:
    broker = MemoryBroker()
    header = (HEADER + "," + "\x01" * 60_000).encode()
    run(b"\n".join([header, byte * 1_000_000, byte * 140_000, b""]), broker)
    assert len(letters(broker)) == 2
    for _, value in broker.topics["raw_events_dead_letter"]:
        assert len(value.encode()) < 990_000


def test_a_redrive_never_sends_the_beginning_of_a_line_as_a_row() -> None:
    broker = MemoryBroker()
    # The long value comes last, so the beginning has all fields.
    run("\n".join([HEADER, line(user_session="s" * 400_000)]), broker)
    stored = StoredDeadLetter(
        "0/0", datetime(2026, 11, 23, tzinfo=UTC), letters(broker)[0], replayed=False
    )
    plan = plan_selection([stored], Selection())
    assert plan.report.reasons == {"line_too_long": 1}


@pytest.mark.no_cover
@pytest.mark.parametrize("killed_after", range(1, 8))
def test_a_run_that_was_killed_goes_on_behind_a_long_line(killed_after: int) -> None:
    lines = [HEADER]
    for number in range(1, 30, 2):
        lines += [
            line(user_id=str(number)),
            LONG if number % 5 == 0 else line(user_id=str(number + 1)),
        ]
    text = "\n".join([*lines, ""])
    whole, broker = MemoryBroker(), MemoryBroker(killed_after)
    run(text, whole)
    with pytest.raises(Killed):
        run(text, broker)
    broker.commits_left = 1_000
    report = run(text, broker)
    for topic in ("raw_events", "raw_events_dead_letter"):
        assert broker.topics[topic] == whole.topics[topic]
    assert report.already_ingested + report.read == len(lines) - 1
    assert run(text, broker).read == 0


@pytest.mark.parametrize("more", ["", "\n", "\r\n", "xxx", "x" * 200_000])
@pytest.mark.parametrize("part", [200, 100_000, 250_000])
def test_a_long_line_that_was_cut_at_the_end_goes_on(part: int, more: str) -> None:
    broker = MemoryBroker()
    text = "\n".join([HEADER, line(user_id="1"), LONG[:part]])
    run(text, broker)
    assert letters(broker)[0].source_row == 2
    text += more
    report = run(text, broker)
    is_longer = bool(more.strip())
    assert report.completed_line == (2 if is_longer else None)
    assert report.read == is_longer
    if not more.endswith("\n"):
        text += "\n"
    report = run(text + line(user_id="2") + "\n", broker)
    assert rows(broker) == [("1", 1), ("2", 3)]


def test_a_part_of_white_space_that_becomes_a_row_does_not_shift_rows() -> None:
    broker = MemoryBroker()
    run("\n".join([HEADER, line(user_id="1"), "  "]), broker)
    run("\n".join([HEADER, line(user_id="1"), "  " + line(user_id="2"), line(user_id="3")]), broker)
    assert rows(broker) == [("1", 1), ("2", 2), ("3", 3)]


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", range(5))
def test_blocks_cover_an_input_without_gaps(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311
    sizes = [0, 1, 50, 999, 70_000, 131_072, 131_073, 200_000]
    ends = ["\n", "\r\n", "\n\n"]
    text = "".join("x" * dice.choice(sizes) + dice.choice(ends) for _ in range(40))
    data = text.encode() + b"y" * dice.choice([0, 5, 150_000])
    position = 0
    for block in read_blocks(text_input(data), dice.choice([500, 70_000, 1_000_000])):
        assert block.start == position
        position = block.end
        if block.line_bytes:
            assert block.data == data[block.start : block.start + KEPT_LINE_BYTES + 1]
            assert data[block.start + block.line_bytes : block.end].strip() == b""
            assert b"\n" not in data[block.start : block.start + block.line_bytes]
        else:
            assert block.data == data[block.start : block.end]
        assert block.digest == hashlib.sha256(data[: block.end]).hexdigest()
    assert position == len(data)


@pytest.mark.parametrize(
    "header", [HEADER + ",x" * 100_000, HEADER + "," + "\0" * 200_000, "x" * 70_000, "\0" * 300_000]
)
def test_a_header_that_is_too_long_is_refused(header: str) -> None:
    for text in (header, f"{header}\n{line()}\n"):
        with pytest.raises(PipelineError, match=r"The first line of standard input is longer than"):
            check_header(text_input(text))
        with pytest.raises(PipelineError, match=r"longer than 65,536 bytes; nothing was sent") as e:
            ingest(text_input(text), Source("f", None), MemoryBroker(), lambda *_: None, OPTIONS)
        assert all(letter.isprintable() or letter == "\n" for letter in str(e.value))


MEGABYTES = {"xz": 120, "bzip2": 120}
"""The length of the line; 300 in the other containers, which are faster."""
PIECE = b"x" * 1_000_000


@contextmanager
def zip_member(path: Path) -> Iterator[IO[bytes]]:
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("events.csv", "w", force_zip64=True) as member,
    ):
        yield member


@contextmanager
def zstd_file(path: Path) -> Iterator[Any]:
    with pa.CompressedOutputStream(str(path), "zstd") as stream:
        yield stream


CONTAINERS: dict[str, Callable[[Path], Any]] = {
    "plain": lambda path: path.open("wb"),
    "gzip": lambda path: gzip.open(path, "wb", 1),  # noqa: SIM115
    "zip": zip_member,
    "zstd": zstd_file,
    "xz": lambda path: lzma.open(path, "wb", preset=0),  # noqa: SIM115
    "bzip2": lambda path: bz2.open(path, "wb", 1),  # noqa: SIM115
}
PROGRAM = """
import sys
from pathlib import Path
from customer_profiles.ingestion.header import check_header
from customer_profiles.ingestion.inputs import FileInput, StreamInput
from customer_profiles.ingestion.options import Options
from customer_profiles.ingestion.pipeline import ingest
from customer_profiles.ingestion.sources import identify_source
from tests.unit.ingestion.memory_broker import MemoryBroker
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(l for l in lines if l.startswith("VmHWM")).split()[1]) // 1024
csv_input = StreamInput(sys.stdin.buffer) if sys.argv[1] == "-" else FileInput(Path(sys.argv[1]))
check_header(csv_input)
before = peak()
report = ingest(csv_input, identify_source(csv_input, {}), MemoryBroker(), lambda *_: None,
                Options(max_rejected_share=1))
print(report.read, report.accepted, report.dead_lettered, peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("container", [*CONTAINERS, "pipe"])
def test_memory_stays_bounded_whatever_contains_the_line(container: str, tmp_path: Path) -> None:
    path = tmp_path / "events"
    with CONTAINERS.get(container, CONTAINERS["plain"])(path) as file:
        file.write(f"{HEADER}\n{line(user_id='1')}\n".encode())
        for _ in range(MEGABYTES.get(container, 300)):
            file.write(PIECE)
        file.write(f"\n{line(user_id='2')}\n".encode())
    with path.open("rb") as stdin:
        name = "-" if container == "pipe" else str(path)
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, name],
            cwd=ROOT, stdin=stdin, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *counts, growth_mb = map(int, done.stdout.split())
    assert counts == [3, 2, 1]
    # The blocks in preparation take some megabytes each.
    assert growth_mb < 110
