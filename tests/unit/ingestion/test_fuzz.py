"""Whatever a file holds: no error but a PipelineError, and every row ends in one place."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import zipfile
from collections.abc import Callable
from io import BufferedReader, BytesIO

import pyarrow as pa
import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import COLUMNS, check
from customer_profiles.contracts.leniency import NULL_WORDS
from customer_profiles.ingestion.header import check_header
from customer_profiles.ingestion.inputs import StreamInput
from customer_profiles.ingestion.options import Options
from customer_profiles.ingestion.pipeline import ingest
from customer_profiles.ingestion.sources import Source
from customer_profiles.ingestion.validate import validate
from tests.support import GOOD_ROW
from tests.unit.ingestion.memory_broker import MemoryBroker

FILES = 40
"""Files per seed. A few seconds in all."""

VALUES = [
    *NULL_WORDS, "", " ", "0", "-1", ".99", "-.5", "1e400", "9" * 400, "0." + "9" * 60, "1.0",
    "35.790000915527344", "4.8100000000000005", "9007199254740993.0", "2.05301E+18", "1,5", '"',
    '\\"', '"a', '"a\\"b"', '"a""b"', "\x00", "\x1b[0m", "\ud800", "\u2028", "\xe9", "🙂", ";",
    "|", "\t", "2019-10-01 00:00:07+00", "0001-01-01 00:00:00+14", "9999-12-31 23:59:59-14",
    "2019-02-30T00:00", "Tue, 01 Oct 2019 00:00:07 GMT", "x" * 5000, "VIEW", "\ufeff", "event_time",
]  # fmt: skip


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


def zipped(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("events.csv", data)
    return out.getvalue()


CONTAINERS: list[Callable[[bytes], bytes]] = [
    bytes, bytes, gzip.compress, bz2.compress, lzma.compress, zstd, zipped
]  # fmt: skip
ENCODINGS = ["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"]


def make_file(dice: random.Random) -> bytes:
    """Return a file that is wrong in several ways, or in none."""
    columns = list(COLUMNS)
    if dice.random() < 0.5:
        dice.shuffle(columns)
    if dice.random() < 0.3:
        columns.append(dice.choice(["extra", "extra", "price", ""]))
    if dice.random() < 0.3:
        columns.remove(dice.choice(columns))
    separator = dice.choice(",,,;\t|")
    rows = [columns] if dice.random() < 0.9 else []
    for _ in range(dice.randrange(40)):
        values = {name: GOOD_ROW.get(name, "") for name in columns}
        for name in dice.sample(columns, dice.randrange(3)):
            values[name] = dice.choice(VALUES)
        rows.append(list(values.values()))
        if dice.random() < 0.03:
            rows.append(columns if dice.random() < 0.8 else dice.sample(columns, len(columns)))
    text = dice.choice(["\n", "\r\n", "\r"]).join(separator.join(row) for row in rows)
    encoding = dice.choice(ENCODINGS)
    errors = "surrogatepass" if encoding.startswith("utf") else "replace"
    data = dice.choice(CONTAINERS)(text.encode(encoding, errors))
    match dice.randrange(6):
        case 0:
            data = data[: dice.randrange(len(data) + 1)]
        case 1:
            data += b"\0" * dice.randrange(600)
        case 2 if data:
            place = dice.randrange(len(data))
            data = data[:place] + dice.randbytes(3) + data[place + 3 :]
    return data


@pytest.mark.parametrize("seed", range(8))
def test_a_file_is_ingested_whole_or_refused_by_name(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311
    refusals: list[str] = []
    for _ in range(FILES):
        data = make_file(dice)
        options = Options(
            max_rejected_share=1,
            keep_duplicates=dice.random() < 0.5,
            block_bytes=dice.choice([500, 10_000]),
            strict=dice.random() < 0.2,
        )
        broker = MemoryBroker()
        try:
            csv_input = StreamInput(BufferedReader(BytesIO(data)), options.strict)
            check_header(csv_input, options.strict)
            report = ingest(csv_input, Source("f", None), broker, lambda *_: None, options)
        except PipelineError as error:
            refusals.append(str(error))
            continue
        assert report.adds_up
        assert len(broker.topics.get("raw_events", [])) == report.accepted
        assert len(broker.topics.get("raw_events_dead_letter", [])) == report.dead_lettered
    assert len(refusals) < FILES
    assert all(letter.isprintable() or letter == "\n" for letter in "".join(refusals))


@pytest.mark.parametrize("seed", range(4))
def test_what_is_accepted_keeps_the_contract(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311
    lines = []
    for _ in range(500):
        values = {name: GOOD_ROW[name] for name in COLUMNS}
        for name in dice.sample(COLUMNS, dice.randrange(3)):
            values[name] = dice.choice(VALUES)
        lines.append(",".join(values.values()).encode("utf-8", "surrogatepass"))
    block = validate(b"\n".join(lines), COLUMNS, "f", 1)
    assert block.read == block.accepted.height + block.rejected.height
    for values in block.accepted.select(COLUMNS).iter_rows(named=True):
        assert check(values) == (values, [])
