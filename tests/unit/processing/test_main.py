"""The entry point of processing."""

from __future__ import annotations

import pytest

from customer_profiles.processing.__main__ import normalise_user_id
from customer_profiles.processing.cli import parse_arguments


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1515915625519388267", "1515915625519388267"),
        (" 7\n", "7"),
        ("007", "7"),
        ("000", "0"),
        ('"7"', "7"),
        ("' 07 '", "7"),
        ("\u201c7\u201d", "7"),
        ("520088904.0", "520088904"),
        ("7.5", "7.5"),
        ("-7", "-7"),
        ("", ""),
        ("abc 7", "abc 7"),
    ],
)
def test_an_id_is_read_as_people_copy_it(text: str, expected: str) -> None:
    assert normalise_user_id(text) == expected


def test_an_id_may_follow_two_dashes_as_make_writes_it() -> None:
    arguments = parse_arguments(["profile", "--from=lake", "--", "-7"])
    assert (arguments.user_id, arguments.origin) == ("-7", "lake")
