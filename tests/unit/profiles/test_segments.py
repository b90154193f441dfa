"""Invalid segment rules are refused with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.profiles.segments import read_segments

RICH = '[[segments]]\nname = "Rich"\nfield = "total_revenue"\n'
EVERYBODY = '[[segments]]\nname = "Everybody"\n'


def test_the_default_rules_are_in_order() -> None:
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
    ("text", "message"),
    [
        ("version = 1", "at least one"),
        (EVERYBODY, "whole number `version`"),
        ("version = 1\nname = yes\n", r"cannot be read: .*line 2"),
        (
            f"version = 1\n{EVERYBODY}{EVERYBODY}",
            "line 2: Everybody: the last rule, and only the last",
        ),
        (f"version = 1\n{RICH}at_least = 5", "line 2: Rich: the last rule, and only the last"),
        (
            f"version = 1\n# rich\n{RICH}at_least = 5\n{EVERYBODY}".replace(
                "total_revenue", "wealth"
            ),
            "line 5: .* wealth",
        ),
        (f"version = 1\n{RICH}{EVERYBODY}", "line 4: Rich: field and at_least go together"),
        (
            f'version = 1\n[[segments]]\nfield = "total_revenue"\nat_least = 1\n{EVERYBODY}',
            "line 2: .* has a name",
        ),
        (
            f'version = 1\n{RICH}at_least = "x"\n{EVERYBODY}',
            "line 5: Rich: at_least is not a number",
        ),
        (
            f"version = 1\n{RICH}at_least = inf\n{EVERYBODY}",
            "line 5: Rich: at_least is not a number",
        ),
        (f"version = 1\n{RICH}at_least = 1{'0' * 40}\n{EVERYBODY}", "line 5: .* more than 1e"),
        (f"version = 1\n{RICH}at_least = 0.005\n{EVERYBODY}", "line 5: .* two decimals"),
        (f"version = 1\n{EVERYBODY}more_than = 5\n", "line 4: .* not more_than"),
        ('version = 1\nsegments = ["Rich"]', "line 2: a rule is a table"),
        (
            f"version = 1\n[[segments]]\nname = 'Rich'\nfield = []\nat_least = 1\n{EVERYBODY}",
            r"line 4: Rich: there is no field \[\]",
        ),
        (f"version = 1\n{RICH}at_least = true\n{EVERYBODY}", "line 5: Rich: at_least is not"),
    ],
)
def test_an_invalid_rule_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "segments.toml"
    path.write_text(text)
    with pytest.raises(PipelineError, match=message):
        read_segments(path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"nowhere\.toml"):
        read_segments(tmp_path / "nowhere.toml")


def test_comments_do_not_change_the_rules(tmp_path: Path) -> None:
    path = tmp_path / "segments.toml"
    path.write_text(f"version = 1\n{RICH}at_least = 5\n{EVERYBODY}")
    rules = read_segments(path).as_json()
    assert rules == {
        "version": 1,
        "rules": [["Rich", "total_revenue", "5"], ["Everybody", None, "0"]],
    }
    path.write_text(f"# Rules\nversion = 1\n\n{RICH}at_least = 5 # or more\n{EVERYBODY}")
    assert read_segments(path).as_json() == rules
