"""Random draws that both the catalogue and the events use.

The order of draws decides what a seed gives. Changing it changes every file.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def cover(rng: np.random.Generator, things: int, draws: int, weights: Floats) -> Ints:
    """Draw numbers below `things` in random order.

    Args:
        rng: the source of randomness.
        things: how many different numbers there are.
        draws: how many numbers to draw. Where there are enough draws, each number is drawn at
            least once.
        weights: how likely each number is in the draws beyond the first `things`.

    Returns:
        `draws` numbers.
    """
    if draws > things:
        more = rng.choice(things, draws - things, p=weights / weights.sum())
    else:
        more = np.empty(0, np.int64)
    drawn = np.concatenate([np.arange(min(things, draws)), more]).astype(np.int64)
    rng.shuffle(drawn)
    return drawn
