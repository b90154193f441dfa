"""The columns of exposures, as the analysis takes them."""

from __future__ import annotations

import polars as pl

EXPOSURE_SCHEMA: dict[str, pl.DataType] = {
    "user_id": pl.String(),
    "variant": pl.String(),
    "exposed_at": pl.Datetime("us", "UTC"),
}
"""Every exposure of one experiment, in any order. The analysis itself finds the first ones."""
