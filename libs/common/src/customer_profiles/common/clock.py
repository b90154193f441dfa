"""The one clock. Functions take it as an argument, so that tests can set the time."""

from __future__ import annotations

from datetime import UTC, datetime

LATEST_MS = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp() * 1000)
"""The latest day that a date can name, in milliseconds since 1970."""


def now_utc() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def moment_of(timestamp_ms: int) -> datetime:
    """Return the time of a Kafka message, in UTC.

    Args:
        timestamp_ms: milliseconds since 1970. A producer may give any time, and -1 is none.

    Returns:
        The time, or the nearest one between 1970 and 9999.
    """
    return datetime.fromtimestamp(min(max(timestamp_ms, 0), LATEST_MS) / 1000, UTC)
