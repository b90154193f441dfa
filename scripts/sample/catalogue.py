"""The products of the synthetic shop: categories, brands and prices."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import polars as pl
from numpy.typing import NDArray

from scripts.sample.drawing import Floats, Ints, cover
from scripts.sample.published import (
    BRANDS,
    CATEGORIES,
    CATEGORY_CODES,
    NO_BRAND,
    NO_CATEGORY_CODE,
    PRICE_QUARTILES,
    PRICE_RANGE,
    PRICE_TAIL,
    PRICES,
    PRODUCTS,
    Scale,
)

SYLLABLES = (
    "ba", "co", "di", "fe", "gu", "ka", "li", "mo",
    "na", "pi", "ro", "sa", "te", "vu", "xi", "ze",  # codespell:ignore te
)  # fmt: skip


def make_catalogue(rng: np.random.Generator, scale: Scale, rows: int) -> tuple[Ints, pl.DataFrame]:
    """Decide which product each row shows, and what the products are.

    Args:
        rng: the source of randomness.
        scale: how large the file is.
        rows: how many rows show a product.

    Returns:
        For each row the index of its product, and the products: `product_id` and `category_id`
        (Int64), `category_code` and `brand` (String, null where the shop names none), `price`
        (Float64) and two helper columns.
    """
    products = min(scale.at_most(PRODUCTS), rows)
    popularity = 1 / (np.arange(products) + 8.0) ** 0.85
    rng.shuffle(popularity)
    product = cover(rng, products, rows, popularity)
    shown = np.bincount(product, minlength=products)
    categories = min(CATEGORIES, products)
    category = cover(rng, categories, products, 1 / (np.arange(categories) + 3.0))
    brands = _brand_names()
    brand = cover(rng, len(brands), products, 1 / (np.arange(len(brands)) + 4.0) ** 0.9)
    codes = [f"{root}.{leaf}" for root, leaves in CATEGORY_CODES.items() for leaf in leaves.split()]
    order = rng.permutation(codes)
    price = _prices(rng, shown, min(scale.at_most(PRICES), products))
    product_ids = 100_000 + np.sort(rng.choice(4_200_000, products, replace=False))
    frame = pl.DataFrame(
        {
            "product_id": product_ids,
            "category_id": 2_144_415_921_000_000_000 + category * 1_234_567_891,
            "category_code": order[category % len(order)],
            "brand": np.array(brands)[brand],
            "price": price,
            "no_code": _flag_products(rng, shown, scale.of(NO_CATEGORY_CODE)),
            "no_brand": _flag_products(rng, shown, scale.of(NO_BRAND)),
        }
    )
    empty = pl.lit(None, pl.String)
    return product, frame.with_columns(
        pl.when("no_code").then(empty).otherwise("category_code").alias("category_code"),
        pl.when("no_brand").then(empty).otherwise("brand").alias("brand"),
    )


def _prices(rng: np.random.Generator, shown: Ints, distinct: int) -> Floats:
    """Give each product a price, so that the rows that show them have the real distribution."""
    ladder = _price_ladder(distinct)
    order = rng.permutation(len(shown))
    share = np.empty(len(shown))
    share[order] = (np.cumsum(shown[order]) - shown[order] / 2) / shown.sum()
    step = np.minimum(np.searchsorted(ladder, _price_at(share)), len(ladder) - 1)
    # A product that is shown often spans many prices, which then have no product. The products
    # that are shown least take those prices.
    _, first = np.unique(step, return_index=True)
    spare = np.setdiff1d(np.arange(len(shown)), first)
    spare = spare[np.argsort(shown[spare], kind="stable")]
    unused = np.setdiff1d(np.arange(len(ladder)), step)[: len(spare)]
    step[spare[: len(unused)]] = unused
    return np.asarray(ladder[step])


def _price_ladder(distinct: int) -> Floats:
    """Return `distinct` different prices, rounded to cents and distributed as rows are."""
    steps = distinct
    while True:
        prices = np.unique(np.round(_price_at((np.arange(steps) + 0.5) / steps), 2))
        if len(prices) >= distinct:
            break
        # Where prices are dense, several shares round to the same cent.
        steps += distinct - len(prices)
    surplus = np.linspace(1, len(prices) - 2, len(prices) - distinct).astype(np.int64)
    prices = np.delete(prices, surplus)
    prices[0], prices[-1] = PRICE_RANGE
    return prices


def _price_at(share: Floats) -> Floats:
    """Return the prices below which these shares of rows lie.

    The distribution is two halves of a log-normal, one on each side of the median, and a tail.
    """
    low, median, high = np.log(PRICE_QUARTILES)
    quarter = NormalDist().inv_cdf(0.75)
    z = np.array([NormalDist().inv_cdf(value) for value in share])
    logarithm = median + np.where(z < 0, (median - low), (high - median)) / quarter * z
    logarithm = np.where(z > quarter, high + PRICE_TAIL * (z - quarter), logarithm)
    return np.asarray(np.clip(np.exp(logarithm), *PRICE_RANGE))


def _brand_names() -> list[str]:
    count = len(SYLLABLES)
    return [
        SYLLABLES[number % count]
        + SYLLABLES[number // count % count]
        + SYLLABLES[(7 * number + number // 64) % count]
        + SYLLABLES[number // count**2 % count]
        for number in range(BRANDS)
    ]


def _flag_products(rng: np.random.Generator, shown: Ints, rows: int) -> NDArray[np.bool_]:
    """Flag products that are shown in as nearly `rows` rows in total as possible."""
    flags = np.zeros(len(shown), bool)
    left = rows
    for number in rng.permutation(len(shown)):
        if shown[number] <= left:
            flags[number] = True
            left -= shown[number]
    return flags
