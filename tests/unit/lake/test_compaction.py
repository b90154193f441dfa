"""Which data files are live, and which ones compaction merges."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from customer_profiles.lake.compaction import (
    MAX_COMPACTED_BYTES,
    MIN_COMPACTED_FILES,
    DataFile,
    live_files,
    plan_compaction,
)


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ([], 0),
        ([10] * (MIN_COMPACTED_FILES - 1), 0),
        ([10] * MIN_COMPACTED_FILES, MIN_COMPACTED_FILES),
        ([1000] + [10] * MIN_COMPACTED_FILES, MIN_COMPACTED_FILES),
        ([100] + [10] * MIN_COMPACTED_FILES, MIN_COMPACTED_FILES + 1),
        ([10] * 3 + [1000] + [10] * 3, 0),
        ([MAX_COMPACTED_BYTES // 2] * (2 * MIN_COMPACTED_FILES), 0),
        ([MAX_COMPACTED_BYTES] + [10] * MIN_COMPACTED_FILES, MIN_COMPACTED_FILES),
    ],
)
def test_files_are_merged_with_files_of_similar_size(sizes: list[int], count: int) -> None:
    assert plan_compaction(sizes) == count


@pytest.mark.no_cover
@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=300, max_size=600))
def test_files_stay_few_and_are_rarely_rewritten(batches: list[int]) -> None:
    sizes: list[int] = []
    written = 0
    for size in batches:
        sizes.append(size)
        if count := plan_compaction(sizes):
            written += sum(sizes[-count:])
            sizes[-count:] = [sum(sizes[-count:])]
        assert len(sizes) < 4 * MIN_COMPACTED_FILES
    assert sum(sizes) == sum(batches)
    assert written < 8 * sum(batches)


def files(*spans: tuple[int, int]) -> list[DataFile]:
    return [DataFile(f"{first}-{last}", first, last, 1) for first, last in spans]


@pytest.mark.parametrize(
    ("all_files", "live"),
    [
        ([], []),
        ([(2, 2), (1, 1)], [(1, 1), (2, 2)]),
        ([(1, 1), (1, 3), (2, 2), (3, 3), (4, 4)], [(1, 3), (4, 4)]),
        ([(1, 3), (1, 9), (4, 4)], [(1, 9)]),
        ([(1, 3), (4, 6)], [(1, 3), (4, 6)]),
    ],
)
def test_a_file_that_another_one_covers_is_not_live(
    all_files: list[tuple[int, int]], live: list[tuple[int, int]]
) -> None:
    assert live_files(files(*all_files)) == files(*live)
