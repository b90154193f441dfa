"""The rules for segments are refused where they are not usable."""

from __future__ import annotations

from pathlib import Path

import pytest

from processing.errors import ProcessError
from processing.segments import read_segments

EVERYBODY = '[[segments]]\nname = "Everybody"\n'


def test_the_rules_that_come_with_it() -> None:
    names = [rule.name for rule in read_segments().rules]
    assert names == [
        "High Value",
        "Medium Value",
        "Converting Customer",
        "Interested Shopper",
        "Active Browser",
        "Casual Visitor",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("version = 1", "at least one"),
        (EVERYBODY, "whole number `version`"),
        ("version = 1\nversion = 2", "cannot be read"),
        (f"version = 1\n{EVERYBODY}{EVERYBODY}", "the last rule, and only the last"),
        ('version = 1\n[[segments]]\nname = "Rich"\nfield = "total_revenue"\nat_least = 5', "and only the last"),
        (f'version = 1\n[[segments]]\nname = "Rich"\nfield = "wealth"\nat_least = 5\n{EVERYBODY}', "no field wealth"),
        (f'version = 1\n[[segments]]\nname = "Rich"\nfield = "total_revenue"\n{EVERYBODY}', "go together"),
        (f'version = 1\n[[segments]]\nfield = "total_revenue"\nat_least = 1\n{EVERYBODY}', "has a name"),
        (f'version = 1\n[[segments]]\nname = "R"\nfield = "days_active"\nat_least = "x"\n{EVERYBODY}', "not a number"),
        (f'version = 1\n[[segments]]\nname = "R"\nmore_than = 5\n{EVERYBODY}', "not more_than"),
    ],
)
def test_a_file_that_is_not_usable_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "segments.toml"
    path.write_text(text)
    with pytest.raises(ProcessError, match=words):
        read_segments(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match=r"nowhere\.toml"):
        read_segments(tmp_path / "nowhere.toml")
