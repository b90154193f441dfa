"""The check whether every variant has its share of the customers."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from customer_profiles.experimentation.statistics import Array

SAMPLE_RATIO_ALPHA = 0.001
"""The sample ratio fails below this p-value."""


def sample_ratio(counts: Any, weights: Any) -> tuple[Array, Array]:
    """Check whether the variants have their shares of customers.

    Args:
        counts: customers by variant; shape (…, variants).
        weights: weights by variant.

    Returns:
        The expected customers, and the p-value of Pearson's χ² test without correction.
    """
    observed, shares = np.asarray(counts, float), np.asarray(weights, float)
    expected = observed.sum(axis=-1, keepdims=True) * shares / shares.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = ((observed - expected) ** 2 / expected).sum(axis=-1)
    return expected, np.asarray(stats.chi2.sf(statistic, len(shares) - 1))
