"""The customers of the demonstration: what they did before, and how they respond to a variant.

All of it follows from a seed, so that every run makes the same events. The ids of these customers
begin with 99000, which no id of the sample does.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from customer_profiles.contracts import COLUMNS
from customer_profiles.contracts.exposure import Exposure

CUSTOMERS = 6_000
FIRST_ID = 9_900_000_001
VIEWS = 10
"""Views of each customer before the experiment: as many as make an Active Browser."""
CONVERSION: Mapping[str, float] = {"control": 0.20, "free-shipping": 0.26}
"""The effect that is planted: the share of customers who buy within a week."""
IN_TWO_VARIANTS, BEFORE_START, REPEATS = 12, 8, 150
"""Customers with exposures as real shops send them."""
HISTORY_START = datetime(2021, 1, 1, tzinfo=UTC)
START = datetime(2021, 1, 15, tzinfo=UTC)
EXPOSURE_DAYS = 4
WINDOW_S = 6 * 86_400
"""Responses come within the week that the metrics measure."""
LAST = datetime(2021, 2, 10, tzinfo=UTC)
"""When the last customer looks again, so that all windows have closed."""
_SEED = 26


def user_ids() -> list[str]:
    """Return the ids of all customers of the demonstration."""
    return [str(FIRST_ID + number) for number in range(CUSTOMERS)]


def history() -> pl.DataFrame:
    """Return what the customers did before the experiment.

    Returns:
        `COLUMNS`, all String, in the order of their times.
    """
    random = np.random.default_rng(_SEED)
    seconds = random.integers(0, 13 * 86_400, CUSTOMERS * VIEWS)
    users = np.repeat(np.array(user_ids()), VIEWS)
    sessions = random.integers(0, 3, CUSTOMERS * VIEWS)
    return _rows(
        [
            (HISTORY_START + timedelta(seconds=int(second)), "view", user, f"h{session}", price)
            for second, user, session, price in zip(
                seconds, users, sessions, _prices(random, len(users)), strict=True
            )
        ]
    )


def exposures(variants: Mapping[str, str], experiment: str) -> list[Exposure]:
    """Return the exposures of customers with a variant, and of some that should not count.

    Args:
        variants: the variant of each customer who was assigned.
        experiment: the name of the experiment.
    """
    random = np.random.default_rng(_SEED + 1)
    sent: list[Exposure] = []
    names = list(CONVERSION)
    others = dict(zip(names, names[::-1], strict=True))
    for number, user in enumerate(user_ids()):
        seconds = int(random.integers(0, EXPOSURE_DAYS * 86_400))
        if user not in variants:
            continue
        moment = START + timedelta(seconds=seconds)
        shown = [(variants[user], moment)]
        if number < IN_TWO_VARIANTS:
            shown.append((others[variants[user]], moment + timedelta(hours=1)))
        elif number < IN_TWO_VARIANTS + BEFORE_START:
            shown.insert(0, (variants[user], START - timedelta(hours=6)))
        elif number < IN_TWO_VARIANTS + BEFORE_START + REPEATS:
            shown.append((variants[user], moment + timedelta(minutes=7)))
        sent += [Exposure(experiment, variant, user, _iso(time)) for variant, time in shown]
    return sent


def responses(shown: list[Exposure]) -> pl.DataFrame:
    """Return what the customers do after their first exposure: everybody looks, some buy.

    Returns:
        `COLUMNS`, all String, in the order of their times.
    """
    random = np.random.default_rng(_SEED + 2)
    first: dict[str, Exposure] = {}
    for exposure in shown:
        first.setdefault(exposure.user_id, exposure)
    rows: list[tuple[datetime, str, str, str, str]] = []
    draws = zip(
        first.values(),
        random.random(len(first)),
        random.integers(60, WINDOW_S, len(first)),
        _prices(random, len(first)),
        strict=True,
    )
    for exposure, chance, delay, price in draws:
        seen = datetime.fromisoformat(exposure.exposed_at)
        rows.append((seen, "view", exposure.user_id, "e", price))
        if chance < CONVERSION[exposure.variant]:
            bought = seen + timedelta(seconds=int(delay))
            rows.append((bought, "cart", exposure.user_id, "r", price))
            rows.append((bought + timedelta(seconds=90), "purchase", exposure.user_id, "r", price))
    rows.append((LAST, "view", user_ids()[-1], "last", "9.90"))
    return _rows(rows)


def _prices(random: np.random.Generator, count: int) -> list[str]:
    return [f"{price:.2f}" for price in random.lognormal(3.2, 0.7, count)]


def _rows(rows: list[tuple[datetime, str, str, str, str]]) -> pl.DataFrame:
    """Return rows of time, type, customer, session and price as a file of events has them."""
    records: list[dict[str, Any]] = [
        {
            "event_time": f"{time:%Y-%m-%d %H:%M:%S} UTC",
            "event_type": kind,
            "product_id": str(1_000 + number % 300),
            "category_id": "2144415922528452715",
            "category_code": "electronics.telephone",
            "brand": "demo",
            "price": price,
            "user_id": user,
            "user_session": f"demo-{user}-{session}",
        }
        for number, (time, kind, user, session, price) in enumerate(sorted(rows))
    ]
    return pl.DataFrame(records, schema=dict.fromkeys(COLUMNS, pl.String))


def _iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
