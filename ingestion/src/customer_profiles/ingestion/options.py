"""Options of one ingestion."""

from __future__ import annotations

from dataclasses import dataclass

from customer_profiles.common.defaults import BLOCK_MB, MAX_REJECTED_PERCENT


@dataclass(frozen=True, slots=True)
class Options:
    """How an ingestion treats rejected rows, duplicates and memory."""

    max_rejected_share: float = MAX_REJECTED_PERCENT / 100
    """The share of rejected rows above which the run stops before it sends more."""
    keep_duplicates: bool = False
    """Send exact repeats, too. Profiles count each event once all the same."""
    block_bytes: int = round(BLOCK_MB * 1024 * 1024)
    """Bytes of text in one transaction."""
    strict: bool = False
    """Accept only what `contracts.check` accepts as it stands."""


DEFAULTS = Options()
