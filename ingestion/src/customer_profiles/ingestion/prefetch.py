"""Prepare the next items on a second thread while the caller works on the current one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


@contextmanager
def prefetch(items: Iterator[Item], depth: int) -> Iterator[Iterator[Item]]:
    """Iterate with up to `depth` items prepared in advance, in order, on one other thread.

    Errors of `items` are raised where the item would have been returned. Leaving the `with` block
    waits for the items that are in preparation.

    Args:
        items: prepared on the other thread only; None is not a valid item.
        depth: how many items may be ready or in preparation, at least 1.
    """
    with ThreadPoolExecutor(1) as executor:
        upcoming: deque[Future[Item | None]] = deque(
            executor.submit(next, items, None) for _ in range(depth)
        )

        def prepared() -> Iterator[Item]:
            while (item := upcoming.popleft().result()) is not None:
                upcoming.append(executor.submit(next, items, None))
                yield item

        yield prepared()
