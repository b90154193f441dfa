"""Which events of a file that another program wrote can be trusted? Pure: no I/O.

Such a file has no checksum. But an event carries its identity, which is a hash of its values.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import polars as pl

from customer_profiles.contracts import (
    COLUMNS,
    canonical_price,
    canonical_time,
    category_root,
    event_id,
)


def is_genuine(event: Mapping[str, Any]) -> bool:
    """Tell whether an event has the values from which its identity was computed.

    Args:
        event: a row of `EVENT_SCHEMA`.
    """
    moment, price = event["event_time"], event["price"]
    if moment is None or price is None:
        return False
    values = {column: event[column] for column in COLUMNS}
    values["event_time"] = canonical_time(moment.isoformat())
    values["price"] = canonical_price(f"{Decimal(price):f}")
    try:
        is_same = event_id(values) == event["event_id"]
    except (TypeError, UnicodeEncodeError):
        return False
    root = category_root(event["category_code"])
    return is_same and bool(event["category_root"] == root)


def genuine(events: pl.DataFrame) -> pl.Series:
    """Tell of each event whether it is genuine; Boolean."""
    return pl.Series("genuine", map(is_genuine, events.iter_rows(named=True)), dtype=pl.Boolean)
