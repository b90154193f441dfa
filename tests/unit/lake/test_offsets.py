"""Which offsets a micro-batch contains, and which are gone."""

from __future__ import annotations

import pytest

from customer_profiles.lake.offsets import (
    OffsetSpan,
    is_shorter,
    next_offset_ranges,
    removed_of,
    removed_offsets,
)


@pytest.mark.parametrize(
    ("watermarks", "start_offsets", "max_events", "expected"),
    [
        ({0: (0, 10), 1: (0, 0)}, {}, 100, {0: (0, 10), 1: (0, 0)}),
        ({0: (0, 10), 1: (0, 8)}, {0: 4, 1: 8}, 100, {0: (4, 10), 1: (8, 8)}),
        ({0: (0, 100), 1: (0, 100)}, {}, 60, {0: (0, 30), 1: (0, 30)}),
        ({0: (5, 10)}, {0: 5}, 100, {0: (5, 10)}),
        ({0: (0, 10), 1: (0, 3)}, {0: 10}, 100, {0: (10, 10), 1: (0, 3)}),
        # A partition that needs less leaves its share to the others.
        ({0: (0, 100), 1: (0, 3), 2: (0, 0)}, {}, 60, {0: (0, 57), 1: (0, 3), 2: (0, 0)}),
        ({0: (0, 2), 1: (0, 100), 2: (0, 90)}, {}, 60, {0: (0, 2), 1: (0, 29), 2: (0, 29)}),
        # Every partition gets on, however small the limit is.
        ({0: (0, 5), 1: (0, 5), 2: (0, 5)}, {}, 1, {0: (0, 1), 1: (0, 1), 2: (0, 1)}),
        # What was removed is left out.
        ({0: (7, 20)}, {0: 5}, 10, {0: (7, 17)}),
        ({0: (7, 7)}, {0: 5}, 10, {0: (7, 7)}),
    ],
)
def test_the_next_ranges_begin_at_the_start_offsets_and_respect_the_limit(
    watermarks: dict[int, OffsetSpan],
    start_offsets: dict[int, int],
    max_events: int,
    expected: dict[int, OffsetSpan],
) -> None:
    ranges = next_offset_ranges(watermarks, start_offsets, max_events)
    assert ranges == expected
    assert list(ranges) == sorted(ranges)


@pytest.mark.parametrize(
    ("watermarks", "start_offsets", "expected"),
    [
        ({0: (0, 10)}, {}, {}),
        ({0: (5, 10)}, {0: 5}, {}),
        ({0: (12, 20), 1: (0, 3)}, {0: 5}, {0: (5, 12)}),
        ({0: (12, 12)}, {}, {0: (0, 12)}),
    ],
)
def test_offsets_that_nobody_read_are_found(
    watermarks: dict[int, OffsetSpan],
    start_offsets: dict[int, int],
    expected: dict[int, OffsetSpan],
) -> None:
    assert removed_offsets(watermarks, start_offsets) == expected


@pytest.mark.parametrize(
    ("watermarks", "start_offsets", "expected"),
    [
        ({0: (0, 5)}, {}, False),
        ({0: (0, 5)}, {0: 5}, False),
        ({0: (0, 4)}, {0: 5}, True),
        # A partition is gone, which had messages.
        ({0: (0, 5)}, {0: 5, 1: 1}, True),
        ({0: (0, 5)}, {0: 5, 1: 0}, False),
    ],
)
def test_a_topic_that_lacks_what_was_read_is_shorter(
    watermarks: dict[int, OffsetSpan], start_offsets: dict[int, int], *, expected: bool
) -> None:
    assert is_shorter(watermarks, start_offsets) == expected


@pytest.mark.parametrize(
    ("low", "expected"),
    [(0, {}), (2, {}), (4, {0: (2, 4)}), (9, {0: (2, 6)})],
)
def test_what_is_gone_of_a_planned_range_is_found(
    low: int, expected: dict[int, OffsetSpan]
) -> None:
    assert removed_of({0: (2, 6), 1: (0, 0)}, {0: (low, 20), 1: (3, 3)}) == expected
