"""Which offsets a micro-batch holds."""

from __future__ import annotations

import pytest

from processing.errors import ProcessError
from processing.plan import Range, next_ranges
from processing.topic import Split, splits


@pytest.mark.parametrize(
    ("held", "start", "most", "expected"),
    [
        ({0: (0, 10), 1: (0, 0)}, {}, 100, {0: (0, 10), 1: (0, 0)}),
        ({0: (0, 10), 1: (0, 8)}, {0: 4, 1: 8}, 100, {0: (4, 10), 1: (8, 8)}),
        ({0: (0, 100), 1: (0, 100)}, {}, 60, {0: (0, 30), 1: (0, 30)}),
        ({0: (5, 10)}, {0: 5}, 100, {0: (5, 10)}),
        ({0: (0, 10), 1: (0, 3)}, {0: 10}, 100, {0: (10, 10), 1: (0, 3)}),
    ],
)
def test_next_ranges(held: dict[int, Range], start: dict[int, int], most: int, expected: dict[int, Range]) -> None:
    assert next_ranges(held, start, most) == expected


def test_messages_that_were_removed_before_they_were_read_stop_the_run() -> None:
    with pytest.raises(ProcessError, match="7 messages were removed"):
        next_ranges({0: (12, 20)}, {0: 5}, 100)


def test_a_topic_that_was_made_anew_stops_the_run() -> None:
    with pytest.raises(ProcessError, match="made anew"):
        next_ranges({0: (0, 3)}, {0: 5}, 100)


def test_splits_cover_ranges_once() -> None:
    assert splits({0: (0, 10), 1: (5, 5), 2: (3, 6)}, 4) == [
        Split(0, 0, 3),
        Split(0, 3, 6),
        Split(0, 6, 10),
        Split(2, 3, 6),
    ]
