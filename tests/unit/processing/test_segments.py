"""The rules for segments are refused where they are not usable."""

from __future__ import annotations

from pathlib import Path

import pytest

from processing.errors import ProcessError
from processing.segments import read_segments

RICH = '[[segments]]\nname = "Rich"\nfield = "total_revenue"\n'
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
        ("version = 1\nname = yes\n", r"cannot be read: .*line 2"),
        (f"version = 1\n{EVERYBODY}{EVERYBODY}", "line 2: Everybody: the last rule, and only the last"),
        (f"version = 1\n{RICH}at_least = 5", "line 2: Rich: the last rule, and only the last"),
        (
            f"version = 1\n# rich\n{RICH.replace('total_revenue', 'wealth')}at_least = 5\n{EVERYBODY}",
            "line 5: .* wealth",
        ),
        (f"version = 1\n{RICH}{EVERYBODY}", "line 4: Rich: field and at_least go together"),
        (f'version = 1\n[[segments]]\nfield = "total_revenue"\nat_least = 1\n{EVERYBODY}', "line 2: .* has a name"),
        (f'version = 1\n{RICH}at_least = "x"\n{EVERYBODY}', "line 5: Rich: at_least is not a number"),
        (f"version = 1\n{RICH}at_least = inf\n{EVERYBODY}", "line 5: Rich: at_least is not a number"),
        (f"version = 1\n{RICH}at_least = 0.005\n{EVERYBODY}", "line 5: .* two decimals"),
        (f"version = 1\n{EVERYBODY}more_than = 5\n", "line 4: .* not more_than"),
        ('version = 1\nsegments = ["Rich"]', "line 2: a rule is a table"),
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
