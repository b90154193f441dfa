"""The one clock. Functions take it as an argument, so that tests can set the time."""

from __future__ import annotations

from datetime import UTC, datetime


def now_utc() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)
