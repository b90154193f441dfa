from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from customer_profiles.common.clock import moment_of, now_utc


def test_now_is_in_utc() -> None:
    assert now_utc().tzinfo is UTC
    assert abs(now_utc() - datetime.now(UTC)) < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("timestamp_ms", "moment"),
    [
        (-1, datetime(1970, 1, 1, tzinfo=UTC)),
        (-(2**63), datetime(1970, 1, 1, tzinfo=UTC)),
        (1_600_948_626_000, datetime(2020, 9, 24, 11, 57, 6, tzinfo=UTC)),
        # The year 300,000.
        (9_405_000_000_000_000, datetime(9999, 12, 31, tzinfo=UTC)),
        (2**63 - 1, datetime(9999, 12, 31, tzinfo=UTC)),
    ],
)
def test_a_message_of_any_time_has_a_date(timestamp_ms: int, moment: datetime) -> None:
    assert moment_of(timestamp_ms) == moment
