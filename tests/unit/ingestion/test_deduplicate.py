"""Repeats are found however far apart they are."""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl
import pytest

from customer_profiles.ingestion.deduplicate import Deduplicator


def events(numbers: list[int]) -> pl.DataFrame:
    """Events named by numbers; a tenth of them share a time."""
    return pl.DataFrame(
        {
            "event_id": [
                hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()
                for number in numbers
            ],
            "event_time": [
                f"2020-09-24T11:{number // 600 % 60:02}:{number // 10 % 60:02}Z"
                for number in numbers
            ],
            "number": numbers,
        }
    )


def kept(blocks: list[list[int]]) -> list[int]:
    deduplicator = Deduplicator()
    return [
        number
        for block in blocks
        for number in deduplicator.drop_duplicates(events(block))["number"].to_list()
    ]


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([[1, 2, 1, 3]], [1, 2, 3]),
        ([[1, 2], [2, 3]], [1, 2, 3]),
        ([[1, 2], [500, 501], [2, 501, 502]], [1, 2, 500, 501, 502]),
        ([[], [1], [], [1]], [1]),
        ([[7, 7], [7, 7]], [7]),
        ([[9000, 1], [4000], [1, 4000, 9000]], [9000, 1, 4000]),
    ],
)
def test_each_event_is_kept_the_first_time(blocks: list[list[int]], expected: list[int]) -> None:
    assert kept(blocks) == expected


@pytest.mark.parametrize("in_order", [True, False])
def test_thousands_of_events_as_a_set_would_decide(in_order: bool) -> None:
    numbers = np.random.default_rng(4).integers(0, 3_000, 6_000).tolist()
    if in_order:
        numbers.sort()
    blocks = [numbers[begin : begin + 500] for begin in range(0, len(numbers), 500)]
    assert kept(blocks) == list(dict.fromkeys(numbers))


def test_a_part_of_a_longer_frame_is_no_different() -> None:
    deduplicator = Deduplicator()
    whole = events(list(range(100)))
    assert deduplicator.drop_duplicates(whole[10:40]).height == 30
    assert deduplicator.drop_duplicates(whole)["number"].to_list() == [*range(10), *range(40, 100)]
