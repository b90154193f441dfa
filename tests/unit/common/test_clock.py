from __future__ import annotations

from datetime import UTC, datetime, timedelta

from customer_profiles.common.clock import now_utc


def test_now_is_in_utc() -> None:
    assert now_utc().tzinfo is UTC
    assert abs(now_utc() - datetime.now(UTC)) < timedelta(seconds=5)
