"""The examples of docs/reference/input.md are read as the page says."""

from __future__ import annotations

import re

import pytest

from customer_profiles.contracts import COLUMNS, Leniency
from customer_profiles.contracts.leniency import NULL_WORDS
from customer_profiles.ingestion.validate import validate
from tests.support import ROOT, line

PAGE = (ROOT / "docs" / "reference" / "input.md").read_text()


def examples() -> list[tuple[str, str, str]]:
    """Return column, value and what it is read as, from every table of values."""
    rows = []
    column = ""
    for text in PAGE.splitlines():
        cells = [cell.strip() for cell in text.strip("|").split("|")]
        if len(cells) != 3 or set(cells[0]) <= {"-"}:
            continue
        if cells[2] == "read as":
            column = cells[1].strip("`")
        elif column and re.fullmatch("`.*`", cells[1]):
            rows.append((column, cells[1].strip("`"), cells[2].strip("`")))
    return rows


def test_the_page_has_examples_of_each_kind() -> None:
    assert {column for column, _, _ in examples()} == {"event_time", "price", "user_id"}
    assert len(examples()) > 30


@pytest.mark.parametrize(("column", "text", "meaning"), examples())
def test_an_example_is_read_as_the_page_says(column: str, text: str, meaning: str) -> None:
    quoted = text if text.startswith('"') or "," not in text else f'"{text}"'
    block = validate(line(**{column: quoted}).encode(), COLUMNS, "f.csv", 1)
    if block.accepted.height:
        assert block.accepted[column].to_list() == [meaning]
    else:
        assert block.rejected["reasons"].to_list() == [[meaning]]


def test_the_page_names_every_kind_and_every_word() -> None:
    assert [kind for kind in Leniency if f"`{kind}`" not in PAGE] == []
    assert [word for word in NULL_WORDS if f"`{word}`" not in PAGE] == []
