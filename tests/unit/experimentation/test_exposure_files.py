"""Files of exposures: what is read, and what is refused before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts.exposure import Exposure
from customer_profiles.experimentation.exposure_files import read_exposure_file, refuse_rejected

EXPECTED = [Exposure("free-shipping", "control", "7", "2020-11-02T09:30:00Z")]
HEADER = "user_id,experiment,page,variant,exposed_at\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", HEADER + "7,free-shipping,basket,control,2020-11-02 09:30:00 UTC\n"),
        ("a.csv", "\ufeff" + HEADER + " 007 ,free-shipping,,control,2020-11-02T10:30:00+01:00"),
        (
            "a.jsonl",
            '\n{"experiment": "free-shipping", "variant": "control", "user_id": "7", '
            '"exposed_at": "2020-11-02T09:30:00Z"}\n',
        ),
    ],
)
def test_csv_and_json_lines_are_read(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert read_exposure_file(path) == (EXPECTED, [])


@pytest.mark.parametrize(
    ("name", "text", "row", "words"),
    [
        ("a.csv", HEADER + "7,free-shipping,,control,yesterday\n", 1, "exposed_at is 'yesterday'"),
        ("a.csv", HEADER + "\n7,free-shipping\n", 1, "variant is ''"),
        ("a.jsonl", "[]\n", 1, "no JSON object"),
        ("a.jsonl", "{}\n{\n", 2, "no JSON"),
    ],
)
def test_a_row_that_is_no_exposure_is_named(
    tmp_path: Path, name: str, text: str, row: int, words: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    exposures, rejected = read_exposure_file(path)
    assert not exposures
    assert any(item.number == row and words in item.why for item in rejected)
    with pytest.raises(PipelineError, match="nothing was sent"):
        refuse_rejected(path, rejected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("user_id,variant\n7,control\n", "lacks the columns experiment, exposed_at"),
        (None, "no file"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(
    tmp_path: Path, text: str | None, words: str
) -> None:
    path = tmp_path / "a.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(PipelineError, match=words):
        read_exposure_file(path)
