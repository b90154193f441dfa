"""Inputs that strangers had, and their siblings: each is read as it is meant, or refused by name.

Inputs that need servers are in tests/integration/test_values.py.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import decode
from customer_profiles.ingestion.header import check_header
from customer_profiles.ingestion.inputs import FileInput
from customer_profiles.ingestion.options import Options
from customer_profiles.ingestion.pipeline import ingest
from customer_profiles.ingestion.report import IngestReport
from customer_profiles.ingestion.sources import Source
from tests.support import HEADER, line
from tests.unit.ingestion.memory_broker import MemoryBroker


@dataclass(frozen=True, slots=True)
class Case:
    """A file and what becomes of it."""

    data: bytes
    values: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    """Some values of the accepted rows, by column, in order."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    normalised: Mapping[str, int] = field(default_factory=dict)
    refused: Sequence[str] = ()
    """What the error says, if the whole file is refused."""


def csv(*lines: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *lines, ""]).encode()


def column(name: str, texts: Sequence[str]) -> bytes:
    """Return a file whose rows differ in one column, with quotes around what has a comma."""
    return csv(*(line(**{name: f'"{text}"' if "," in text else text}) for text in texts))


def read_as(name: str, kind: str | None, meanings: Mapping[str, str | None]) -> Case:
    """Return the case of texts that are read as other texts, and counted as a kind."""
    # A row for each: a second one with equal values would be a duplicate.
    texts = [line(**{name: text, "user_session": f"s{n}"}) for n, text in enumerate(meanings)]
    counted = {kind: len(meanings)} if kind else {}
    return Case(csv(*texts), {name: list(meanings.values())}, normalised=counted)


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


TWO = csv(line(user_id="1"), line(user_id="2"))
USERS = {"user_id": ["1", "2"]}
DOS = TWO.decode().replace("\n", "\r\n")
TWICE = csv(line(user_id="1") + ",1", header=HEADER + ",user_id")
QUOTED_TWICE = csv(
    ",".join(f'"{text}"' for text in (*line(user_id="1").split(","), "1.00")),
    header=",".join(f'"{name}"' for name in (*HEADER.split(","), "price")),
)
LOST_DIGITS = "2053013555631882752.0"

CASES = {
    # A column named twice.
    "user_id twice": Case(TWICE, refused=["the column user_id more than once", "sed"]),
    "price twice, all quoted": Case(QUOTED_TWICE, refused=["the column price more than once"]),
    "twice in another case": Case(
        csv(line() + ",x", header=HEADER + ", Brand"), refused=["the column brand more than once"]
    ),
    "two columns twice": Case(
        csv(line() + ",x,y", header=HEADER + ",brand,price"), refused=["the columns brand, price"]
    ),
    "a further column twice": Case(
        csv(line(user_id="1") + ",x,y", header=HEADER + ",note,note"), {"user_id": ["1"]}
    ),
    # Encodings.
    "UTF-16 of PowerShell": Case(DOS.encode("utf-16"), USERS, normalised={"encoding": 2}),
    "UTF-16 big-endian": Case(
        b"\xfe\xff" + DOS.encode("utf-16-be"), USERS, normalised={"encoding": 2}
    ),
    "UTF-16 without a mark": Case(DOS.encode("utf-16-le"), USERS, normalised={"encoding": 2}),
    "UTF-16, compressed": Case(
        gzip.compress(DOS.encode("utf-16")), USERS, normalised={"encoding": 2}
    ),
    "UTF-8 with a mark": Case(DOS.encode("utf-8-sig"), USERS),
    "Latin-1": Case(
        csv(line(user_id="1"), line(brand="l'or\xe9al")).decode().encode("latin-1"),
        {"user_id": ["1"]},
        {"not_utf8": 1},
    ),
    "Windows-1252": Case(
        csv(line(brand="a\u20acb")).decode().encode("cp1252"), {}, {"not_utf8": 1}
    ),
    # Zip files.
    "zip of two members": Case(
        zipped(**{"2019-Oct.csv": TWO, "2019-Nov.csv": TWO}),
        refused=["unzip -p", "2019-Oct.csv", "2019-Nov.csv"],
    ),
    "zip of one member": Case(zipped(**{"events.csv": TWO}), USERS),
    "zip of a member in a folder, with others": Case(
        zipped(**{"a b/": b"", "a b/events.csv": TWO, "a b/README.txt": b"hello"}), USERS
    ),
    "zip, compressed again": Case(gzip.compress(zipped(**{"events.csv": TWO})), USERS),
    "zip of a zip": Case(zipped(**{"events.zip": zipped(**{"events.csv": TWO})}), USERS),
    # Values of other programs.
    "short offsets": read_as(
        "event_time",
        "time_format",
        {
            "2019-10-01 00:00:07+00": "2019-10-01T00:00:07Z",
            "2020-12-31 21:25:58.745232+02": "2020-12-31T19:25:58.745232Z",
            "2020-12-31 21:25:58-03": "2021-01-01T00:25:58Z",
            "2020-12-31 21:25:58+5:30": "2020-12-31T15:55:58Z",
            "2020-12-31 21:25:58+02:00:00": "2020-12-31T19:25:58Z",
            "2020-12-31T21:25:58+2": "2020-12-31T19:25:58Z",
            "2020-12-31 21:25": "2020-12-31T21:25:00Z",
            "2020-12-31T21:25:58.123456789Z": "2020-12-31T21:25:58.123456Z",
            "2020-12-31 21:25:58 GMT": "2020-12-31T21:25:58Z",
        },
    ),
    "noise of floats": read_as(
        "price",
        "price_rounded",
        {
            "35.790000915527344": "35.79",
            "4.8100000000000005": "4.81",
            "0.30000000000000004": "0.30",
            "19.989999771118164": "19.99",
            "5.8099999999999996": "5.81",
            "489.07000732421875": "489.07",
        },
    ),
    "no zero before the point": read_as(
        "price", "price_format", {".99": "0.99", ".5": "0.50", "1.0000000000": "1.00"}
    ),
    "prices that no float explains": Case(
        column("price", ["4.8123456", "1,5", "$1", "1.5e3"]), reasons={"price_invalid": 4}
    ),
    ".0 of pandas in user_id": read_as(
        "user_id",
        "id_with_point_zero",
        {"520088904.0": "520088904", "9007199254740991.0": "9007199254740991", "0.0": "0"},
    ),
    ".0 of pandas in product_id": read_as(
        "product_id", "id_with_point_zero", {"1003461.0": "1003461", "7.": "7"}
    ),
    ".0 with lost digits": Case(
        column("user_id", ["9007199254740992.0", "1515915625519388160.0"]),
        reasons={"user_id_mangled": 2},
    ),
    "only category_id is mangled": read_as(
        "category_id",
        "category_id_dropped",
        {"2.05301E+18": None, "2.05301e18": None, LOST_DIGITS: None},
    ),
    "category_id with a decimal comma": Case(
        column("category_id", ["2,05301E+18"]),
        {"category_id": [None]},
        normalised={"category_id_dropped": 1},
    ),
    "mangled ids that are needed": Case(
        csv(line(user_id="1.51592E+18"), line(product_id="1.0E+6")),
        reasons={"user_id_mangled": 1, "product_id_mangled": 1},
    ),
    "words for null": Case(
        csv(
            line(category_id="NULL", category_code="\\N", brand="nan"),
            line(category_id="", category_code="None", brand="N/A", user_session="s2"),
            line(category_id="<NA>", category_code="(null)", brand="#N/A", user_session="s3"),
        ),
        {name: [None] * 3 for name in ("category_id", "category_code", "brand")},
        normalised={"null_word": 8},
    ),
    "words for null that are needed": Case(
        csv(line(user_session="NULL"), line(user_id="nan"), line(event_time="NaT")),
        reasons={"user_session_missing": 1, "user_id_missing": 1, "event_time_missing": 1},
    ),
    "words that only look like null": read_as(
        "brand", None, {"nullable": "nullable", "Nan Tucket": "Nan Tucket", "n.a.": "n.a."}
    ),
    # Headers again.
    "the header again": Case(
        TWO + csv(line(user_id="3")), {"user_id": ["1", "2", "3"]}, {"repeated_header": 1}
    ),
    "the header again, as other programs write it": Case(
        TWO
        + b"\xef\xbb\xbf"
        + TWO.upper().splitlines()[0]
        + b"\r\n"
        + ",".join(f'"{name}"' for name in HEADER.split(",")).encode()
        + b"\n"
        + HEADER.encode(),
        USERS,
        {"repeated_header": 3},
    ),
    "a header in another order": Case(
        TWO + ",".join(sorted(HEADER.split(","))).encode(), refused=["another order", "one by one"]
    ),
}


def run(data: bytes, folder: Path) -> tuple[IngestReport, list[dict[str, str | None]]]:
    """Ingest a file; return the report and the accepted events."""
    path = folder / "events file.csv"
    path.write_bytes(data)
    broker = MemoryBroker()
    csv_input = FileInput(path)
    check_header(csv_input)
    options = Options(max_rejected_share=1)
    report = ingest(csv_input, Source("f", None), broker, lambda *_: None, options)
    return report, [decode(value.encode()) for _, value in broker.topics.get("raw_events", [])]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.refused])
def test_a_file_gives_what_is_right(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    report, events = run(case.data, tmp_path)
    assert report.adds_up
    assert (report.reasons, report.normalised) == (case.reasons, case.normalised)
    assert len(events) == max(map(len, case.values.values()), default=0)
    for column_name, values in case.values.items():
        assert [event[column_name] for event in events] == values


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.refused])
def test_a_file_is_refused_with_the_line_that_helps(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    with pytest.raises(PipelineError) as failure:
        run(case.data, tmp_path)
    message = str(failure.value)
    assert [words for words in case.refused if words not in message] == []
    assert all(letter.isprintable() or letter == "\n" for letter in message)
