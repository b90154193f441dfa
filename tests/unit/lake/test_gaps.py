"""Gaps: when they are found twice, what they held, and when they are filled."""

from __future__ import annotations

from dataclasses import replace

import pytest

from customer_profiles.lake.gaps import (
    Gap,
    IncompleteSource,
    compared,
    open_gaps,
    read_gaps,
    with_found,
    write_gaps,
)
from tests.support import MemoryObjectStore

GAP = Gap(0, 5, 11, "t1", "2020-09-24T11:57:06+00:00")
NOW = "2020-09-25T00:00:00+00:00"


def test_gaps_are_stored_in_the_lake() -> None:
    store = MemoryObjectStore()
    assert read_gaps(store) == ()
    sources = (IncompleteSource("a.csv", 10, 3),)
    gaps = (GAP, replace(GAP, partition=1, last_offset=None, sources=sources, closed_at=NOW))
    write_gaps(store, gaps)
    assert read_gaps(store) == gaps
    assert open_gaps(gaps) == (GAP,)
    assert store.get_json("_state/gaps.json") == {
        "gaps": [
            {
                "partition": 0,
                "first_offset": 5,
                "last_offset": 11,
                "topic_id": "t1",
                "found_at": GAP.found_at,
                "sources": None,
                "closed_at": None,
            },
            {
                "partition": 1,
                "first_offset": 5,
                "last_offset": None,
                "topic_id": "t1",
                "found_at": GAP.found_at,
                "sources": [{"source": "a.csv", "rows": 10, "missing": 3}],
                "closed_at": NOW,
            },
        ]
    }


def test_a_gap_that_is_found_again_is_the_same_gap() -> None:
    known = replace(GAP, sources=(), closed_at=NOW)
    assert with_found([known], [replace(GAP, found_at=NOW)]) == (known,)
    other = replace(GAP, topic_id="t2")
    assert with_found([known], [other]) == (known, other)


def test_a_gap_that_has_grown_is_looked_at_again() -> None:
    known = replace(GAP, sources=(), closed_at=NOW)
    grown = replace(GAP, last_offset=20, found_at=NOW)
    assert with_found([known], [grown]) == (replace(grown, found_at=GAP.found_at),)


@pytest.mark.parametrize(
    ("landed", "missing", "is_closed"),
    [
        ({"a.csv": 10, "b.csv": 4}, {"b.csv": 1}, False),
        ({}, {"a.csv": 10, "b.csv": 5}, False),
        # Nothing that was ingested is missing: another program has sent these messages.
        ({"a.csv": 10, "b.csv": 6}, {}, False),
    ],
)
def test_a_gap_names_the_sources_whose_rows_the_lake_lacks(
    landed: dict[str, int], missing: dict[str, int], *, is_closed: bool
) -> None:
    gap = compared(GAP, {"a.csv": 10, "b.csv": 5}, landed, NOW)
    assert {source.source: source.missing for source in gap.sources or ()} == missing
    assert (gap.closed_at is not None) == is_closed


@pytest.mark.parametrize(("rows", "missing"), [(9, 1), (10, 0), (12, 0)])
def test_a_gap_is_filled_when_the_lake_has_the_rows_that_it_named(rows: int, missing: int) -> None:
    named = replace(GAP, sources=(IncompleteSource("a.csv", 10, 3),))
    # The records of the topic do not matter any more.
    gap = compared(named, {"z.csv": 100}, {"a.csv": rows}, NOW)
    assert [source.missing for source in gap.sources or ()] == ([missing] if missing else [])
    assert gap.closed_at == (None if missing else NOW)


def test_a_topic_that_is_gone_leaves_no_gap_if_all_rows_are_there() -> None:
    gap = compared(replace(GAP, last_offset=None), {"a.csv": 10}, {"a.csv": 10}, NOW)
    assert gap.closed_at == NOW
