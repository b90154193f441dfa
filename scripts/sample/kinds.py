"""Which rows are views, carts and purchases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scripts.sample.drawing import Floats, Ints
from scripts.sample.published import (
    BUYERS,
    CARTS,
    PURCHASES,
    REAL_ROWS,
    REPEATED_CARTS,
    REPEATED_PURCHASES,
    REVENUE,
    Scale,
)


def choose_event_types(
    rng: np.random.Generator, scale: Scale, user: Ints, price: Floats
) -> NDArray[np.str_]:
    """Choose the event type of each row.

    Args:
        rng: the source of randomness.
        scale: how large the file is.
        user: the customer of each row.
        price: the price of each row.

    Returns:
        `view`, `cart` or `purchase` for each row.
    """
    kind = np.full(len(user), "view", dtype="U8")
    purchases = min(scale.of(PURCHASES) - scale.of(REPEATED_PURCHASES), len(user))
    if purchases:
        kind[_purchased_rows(rng, scale, user, price, purchases)] = "purchase"
    rest = np.flatnonzero(kind == "view")
    carts = min(scale.of(CARTS) - scale.of(REPEATED_CARTS), len(rest))
    kind[rng.choice(rest, carts, replace=False)] = "cart"
    return kind


def _purchased_rows(
    rng: np.random.Generator, scale: Scale, user: Ints, price: Floats, purchases: int
) -> Ints:
    """Choose the rows that are purchases, so that buyers and revenue match the real file."""
    counts = np.bincount(user)
    buyers = min(scale.at_least_one(BUYERS), len(counts), purchases)
    weights = (counts > 0) * (counts.astype(float) ** 2)
    chosen = rng.choice(len(counts), buyers, replace=False, p=weights / weights.sum())
    of_buyers = rng.permutation(np.flatnonzero(np.isin(user, chosen)))
    _, first = np.unique(user[of_buyers], return_index=True)
    # Each buyer buys at least once.
    certain = of_buyers[first]
    optional = np.delete(of_buyers, first)
    wanted = min(purchases - len(certain), len(optional))
    if not wanted:
        return certain
    # Search the exponent of the price that gives the revenue. With a positive one, dearer
    # products are bought more often; with a negative one, less often.
    dice = np.log(rng.random(len(optional)))
    low, high = -2.0, 2.0
    picked = optional[:wanted]
    for _ in range(30):
        exponent = (low + high) / 2
        keys = dice / price[optional] ** exponent
        picked = optional[np.argpartition(-keys, wanted - 1)[:wanted]]
        revenue = price[certain].sum() + price[picked].sum()
        too_little = revenue < REVENUE * scale.rows / REAL_ROWS
        low, high = (exponent, high) if too_little else (low, exponent)
    return np.concatenate([certain, picked])
