"""Cells that a spreadsheet would run are neutralised, and come back as they were."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from customer_profiles.contracts import COLUMNS, DeadLetter
from customer_profiles.ingestion.dead_letters import (
    StoredDeadLetter,
    export_dead_letters,
    read_corrections,
    split_values,
)
from customer_profiles.ingestion.redrive import plan_corrections
from customer_profiles.ingestion.spreadsheet import from_cell, to_cell
from tests.support import row

FORMULA_STARTS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
TEXTS = st.text(st.sampled_from("='+-@\t\r\n\"\\,;xé5 \uff1d\x00"), max_size=6) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=20
)


def letter_of(values: dict[str, str], source: str = "f.csv") -> StoredDeadLetter:
    text = ",".join('"' + value.replace('"', '""') + '"' for value in values.values())
    content = DeadLetter(source, 1, ["user_session_missing"], text, list(values))
    return StoredDeadLetter("0/0", datetime(2026, 11, 23, tzinfo=UTC), content, replayed=False)


@given(TEXTS)
def test_a_cell_comes_back_as_the_text_that_it_was(text: str) -> None:
    assert from_cell(to_cell(text)) == text
    assert from_cell(to_cell(text), text) == text


@given(TEXTS)
def test_no_cell_begins_like_a_formula(text: str) -> None:
    assert not to_cell(text).startswith(tuple(FORMULA_STARTS))


@given(TEXTS)
def test_a_cell_of_an_older_export_comes_back_as_it_was(text: str) -> None:
    assert from_cell(text, text) == text


@pytest.mark.parametrize(
    ("cell", "original", "text"),
    [
        ("'=1+1", "=1+1", "=1+1"),
        ("=1+1", "=1+1", "=1+1"),
        # Somebody corrects a negative price and leaves the apostrophe.
        ("'31.90", "-31.90", "31.90"),
        ("31.90", "-31.90", "31.90"),
        ("''s Hertogenbosch", "'s Gravenhage", "'s Hertogenbosch"),
        ("'s Hertogenbosch", "acme", "'s Hertogenbosch"),
        ("'@home", "acme", "@home"),
        ("'", "", "'"),
        ("", "=1", ""),
    ],
)
def test_a_corrected_cell_is_read_as_it_was_meant(cell: str, original: str, text: str) -> None:
    assert from_cell(cell, original) == text


@settings(deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(COLUMNS, TEXTS)), TEXTS)
def test_an_export_that_was_not_corrected_is_read_as_such(
    values: dict[str, str], source: str
) -> None:
    letter = letter_of(values, source)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "letters.csv"
        export_dead_letters([letter], path)
        with path.open(newline="", encoding="utf-8") as file:
            (cells,) = csv.DictReader(file)
        assert not [cell for cell in cells.values() if cell.startswith(tuple(FORMULA_STARTS))]
        rows = read_corrections(path)
    split = split_values(letter.content)
    assert {name: from_cell(cell) for name, cell in rows[0][1].items()} == {
        **{name: split.get(name, "") for name in COLUMNS},
        "source": source,
        "source_row": "1",
    }
    plan = plan_corrections([letter], rows)
    assert plan.report.reasons == {"user_session_missing": 1}
    assert not plan.corrected


@pytest.mark.parametrize("brand", ["=cmd|' /C calc'!A0", "@SUM(1)", "'quoted'", "-", "''x", "'=x"])
def test_a_correction_of_another_cell_keeps_the_brand(brand: str, tmp_path: Path) -> None:
    letter = letter_of(row(brand=brand, user_session=""))
    path = tmp_path / "letters.csv"
    export_dead_letters([letter], path)
    ((dead_letter_id, cells),) = read_corrections(path)
    # An export by a spreadsheet that drops the apostrophe, and one of an older version.
    for written in (cells["brand"], brand):
        corrected = {**cells, "brand": written, "user_session": "s1"}
        (event,) = plan_corrections([letter], [(dead_letter_id, corrected)]).corrected
        assert f'"brand":"{brand}"' in event.value


def test_an_export_of_an_older_version_is_read(tmp_path: Path) -> None:
    letter = letter_of(row(price="-31.90", brand="=acme"))
    path = tmp_path / "letters.csv"
    corrected = ",".join(row(price="31.90", brand="=acme").values())
    path.write_text(f"letter,{','.join(COLUMNS)}\n0/0,{corrected}\n")
    (event,) = plan_corrections([letter], read_corrections(path)).corrected
    assert '"brand":"=acme"' in event.value


def test_a_cell_may_be_as_long_as_a_message(tmp_path: Path) -> None:
    content = DeadLetter("f.csv", 1, ["line_too_long"], "\\xff" * 200_000, list(COLUMNS))
    letter = StoredDeadLetter("0/0", datetime(2026, 11, 23, tzinfo=UTC), content, replayed=False)
    export_dead_letters([letter], tmp_path / "letters.csv")
    rows = read_corrections(tmp_path / "letters.csv")
    assert plan_corrections([letter], rows).report.reasons == {"line_too_long": 1}
