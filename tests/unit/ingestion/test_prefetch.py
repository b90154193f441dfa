"""The overlap of preparing and sending, on its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from customer_profiles.ingestion.prefetch import prefetch


def test_items_come_in_order_from_one_other_thread() -> None:
    threads: set[int] = set()

    def numbers() -> Iterator[int]:
        for number in range(20):
            threads.add(threading.get_ident())
            yield number

    with prefetch(numbers(), 2) as items:
        assert list(items) == list(range(20))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_items_are_prepared_while_the_caller_works_but_no_more_than_the_depth() -> None:
    prepared = 0
    third_is_prepared = threading.Event()

    def numbers() -> Iterator[int]:
        nonlocal prepared
        for number in range(20):
            prepared += 1
            if prepared == 3:
                third_is_prepared.set()
            yield number

    with prefetch(numbers(), 2) as items:
        assert next(items) == 0
        # The caller has the first item, and two more get ready meanwhile.
        assert third_is_prepared.wait(10)
        assert prepared == 3


def test_an_error_is_raised_where_its_item_would_have_come() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise OSError("cut short")

    with prefetch(numbers(), 2) as items:
        assert next(items) == 1
        with pytest.raises(OSError, match="cut short"):
            next(items)


def test_a_caller_that_fails_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    with suppress(ZeroDivisionError), prefetch(iter(range(20)), 2) as items:
        next(items)
        raise ZeroDivisionError
    assert threading.active_count() == before
