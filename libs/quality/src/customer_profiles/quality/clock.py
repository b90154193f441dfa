"""Has a clock been moved? The likelihood of a day's hours under every circular shift.

A wrong time zone moves all events of a day by the same time. The hours of the day then fit those of
earlier days best when they are moved back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log
from typing import NamedTuple

from customer_profiles.quality.history import HALF_HOURS_A_DAY

PROFILE_DAYS = 28
"""Earlier days whose hours are what is normal."""


STRAY_ROWS = 0.001
"""The part of a day's rows that may be in hours that are empty otherwise."""


class Shift(NamedTuple):
    """The shift that fits a day best."""

    hours: float
    """Positive: the events are later than they should be. A multiple of half an hour."""
    gain: float
    """By how much the logarithm of the likelihood is higher than without it, per 1,000 rows."""


def add_profiles(days: Iterable[Sequence[int]]) -> list[int]:
    """Add the half-hours of some days up."""
    return [sum(bins) for bins in zip(*days, strict=True)]


def best_shift(half_hours: Sequence[int], profile: Sequence[int]) -> Shift:
    """Find the circular shift under which a day's half-hours are the likeliest.

    On the day on which a clock is moved, the hours that it skips are empty. So each shift is tried
    with and without them. Not to take an outage for a moved clock, hours that are missing at either
    end of the day are tried without a shift, too.

    Args:
        half_hours: rows by half-hour of the day.
        profile: the same of many normal days.
    """
    total = sum(profile) + HALF_HOURS_A_DAY
    shares = [(rows + 1) / total for rows in profile]
    half = HALF_HOURS_A_DAY // 2
    unmoved = max(_likelihood(half_hours, shares, empty) for empty in range(-half, half + 1))
    moved = {
        shift: max(_likelihood(half_hours, _moved(shares, shift), empty) for empty in {0, shift})
        for shift in range(-half, half)
        if shift
    }
    best = max(moved, key=moved.__getitem__)
    gain = 1000 * (moved[best] - unmoved) / max(1, sum(half_hours))
    return Shift(best / 2, gain) if gain > 0 else Shift(0.0, 0.0)


def _moved(shares: Sequence[float], shift: int) -> list[float]:
    return [shares[(slot - shift) % HALF_HOURS_A_DAY] for slot in range(HALF_HOURS_A_DAY)]


def _likelihood(half_hours: Sequence[int], shares: Sequence[float], empty: int) -> float:
    """Return the logarithm of the likelihood of a day.

    Args:
        half_hours: rows by half-hour.
        shares: the share of a day's rows in each half-hour.
        empty: how many half-hours are empty: the first ones of the day, or its last if negative.
    """
    if not empty:
        return sum(rows * log(share) for rows, share in zip(half_hours, shares, strict=True))
    is_empty = [
        slot < empty if empty > 0 else slot >= HALF_HOURS_A_DAY + empty
        for slot in range(HALF_HOURS_A_DAY)
    ]
    rest = sum(share for share, out in zip(shares, is_empty, strict=True) if not out)
    stray = log(STRAY_ROWS / abs(empty))
    scale = log((1 - STRAY_ROWS) / rest)
    return sum(
        rows * (stray if out else log(share) + scale)
        for rows, share, out in zip(half_hours, shares, is_empty, strict=True)
    )
