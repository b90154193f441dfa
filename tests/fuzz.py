"""Random rows and files, valid ones and ones that are wrong in several ways at once."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta

import pyarrow as pa

from customer_profiles.contracts import COLUMNS, EVENT_TYPES
from customer_profiles.contracts.leniency import NULL_WORDS
from tests.limits import HIGHEST_PRICE, LARGEST_ID, ODD_CHARACTERS
from tests.support import GOOD_ROW

VALUES = [
    *NULL_WORDS, "", " ", "0", "-1", ".99", "-.5", "1e400", "9" * 400, "0." + "9" * 60, "1.0",
    "35.790000915527344", "4.8100000000000005", "9007199254740993.0", "2.05301E+18", "1,5", '"',
    '\\"', '"a', '"a\\"b"', '"a""b"', "\x00", "\x1b[0m", "\ud800", "\u2028", "\xe9", "🙂", ";",
    "|", "\t", "2019-10-01 00:00:07+00", "0001-01-01 00:00:00+14", "9999-12-31 23:59:59-14",
    "2019-02-30T00:00", "Tue, 01 Oct 2019 00:00:07 GMT", "VIEW", "\ufeff", "event_time",
    HIGHEST_PRICE, LARGEST_ID, LARGEST_ID + "0", HIGHEST_PRICE + "1", ODD_CHARACTERS, "[/x]",
    "=1+1", "<!--<script>", "2019-10-01T00:00:07.123456789Z",
    "0001-01-01 00:00:00 UTC", "9999-12-31 23:59:59.999999 UTC", "2**53", "9007199254740991.0",
]  # fmt: skip
LONG_VALUES = ["c" * 600, "x" * 5_000, "b" * 8_192, "\U0001f642" * 8_191, "l" * 70_000]
SESSIONS = ("s1", "s2", "LJuJVLEjPT")
SPAN_DAYS = 3_652_058
"""Days from the first day of the year 1 to the last of the year 9999."""


def packed(compression: str) -> Callable[[bytes], bytes]:
    def pack(data: bytes) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, compression) as stream:
            stream.write(data)
        return bytes(sink.getvalue())

    return pack


def zipped(data: bytes, *other_names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("events.csv", *other_names):
            archive.writestr(name, data)
    return out.getvalue()


def two_members(pack: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda data: pack(data[: len(data) // 2]) + pack(data[len(data) // 2 :])


CONTAINERS: list[Callable[[bytes], bytes]] = [
    bytes, bytes, bytes, gzip.compress, bz2.compress, lzma.compress, packed("zstd"), packed("lz4"),
    zipped, two_members(gzip.compress), two_members(bz2.compress), two_members(packed("zstd")),
    lambda data: zipped(data, "README.md"), lambda data: zipped(data, "more.csv"),
    lambda data: gzip.compress(lzma.compress(data)), lambda data: zipped(gzip.compress(data)),
]  # fmt: skip
ENCODINGS = ["utf-8"] * 3 + ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"]


def make_row(dice: random.Random) -> dict[str, str]:
    """Return values of which none, some or most are wrong."""
    row = {
        **GOOD_ROW,
        "event_type": dice.choice(EVENT_TYPES),
        "price": f"{dice.randrange(10**6)}.{dice.randrange(100):02}",
        "user_id": str(dice.randrange(1, 5_000)),
        "user_session": dice.choice(SESSIONS),
    }
    if dice.random() < 0.1:
        moment = datetime(1, 1, 1) + timedelta(dice.randrange(SPAN_DAYS), dice.randrange(86_400))
        row["event_time"] = f"{moment.isoformat(' ')} UTC"
    for name in dice.sample(COLUMNS, dice.choice([0, 0, 1, 1, 2, 3])):
        row[name] = dice.choice(VALUES if dice.random() < 0.998 else LONG_VALUES)
    return row


def make_lines(dice: random.Random, count: int) -> bytes:
    """Return lines of CSV for the columns of the contract, some of them damaged."""
    lines = []
    for _ in range(count):
        data = bytearray(",".join(make_row(dice).values()).encode("utf-8", "surrogatepass"))
        for _ in range(dice.choice([0, 0, 0, 0, 1, 2])):
            place = dice.randrange(len(data))
            data[place : place + dice.randrange(3)] = dice.randbytes(dice.randrange(3))
        lines.append(bytes(data.replace(b"\n", b"")))
    return b"\n".join(lines) + b"\n"


def _make_header(dice: random.Random) -> list[str]:
    columns = list(COLUMNS)
    if dice.random() < 0.4:
        dice.shuffle(columns)
    if dice.random() < 0.3:
        columns.append(dice.choice(["extra", "extra", "price", "", "\x1b]0;x\x07", "Brand "]))
    if dice.random() < 0.3:
        columns.remove(dice.choice(columns))
    return columns


def make_file(dice: random.Random) -> bytes:
    """Return a file that is wrong in several ways, or in none."""
    columns = _make_header(dice)
    separator = dice.choice(",,,;\t|")
    spell = dice.choice([str, str, str, str.upper, "{:>15}".format, '"{}"'.format])
    header = [spell(name) for name in columns]
    rows = [header] if dice.random() < 0.9 else []
    for _ in range(dice.randrange(40)):
        values = make_row(dice)
        rows.append([values.get(name, "") for name in columns])
        if dice.random() < 0.02:
            rows.append(header if dice.random() < 0.9 else dice.sample(header, len(header)))
    text = dice.choice(["\n", "\n", "\r\n", "\r"]).join(separator.join(row) for row in rows)
    encoding = dice.choice(ENCODINGS)
    errors = "surrogatepass" if encoding.startswith("utf") else "replace"
    data = dice.choice(CONTAINERS)(text.encode(encoding, errors))
    match dice.randrange(8):
        case 0:
            data = data[: dice.randrange(len(data) + 1)]
        case 1:
            data += b"\0" * dice.randrange(600)
        case 2 if data:
            place = dice.randrange(len(data))
            data = data[:place] + dice.randbytes(3) + data[place + 3 :]
    return data
