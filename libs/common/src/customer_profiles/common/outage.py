"""Say once that something is away, and once that it is back."""

from __future__ import annotations

import logging
import time
from typing import Any


class Outage:
    """Logs the first failure of something that is tried again and again, and its end.

    Failures in between are logged for debugging only.

    Args:
        logger: where to log.
        event: the `event` of the first failure; its end is `EVENT_over`.
    """

    def __init__(self, logger: logging.Logger, event: str) -> None:
        self._logger = logger
        self._event = event
        self._since: float | None = None

    @property
    def is_on(self) -> bool:
        """Whether the last attempt failed."""
        return self._since is not None

    def fails(self, message: str, *values: object, **extra: Any) -> None:
        """Note a failed attempt.

        Args:
            message: what failed, in `logging`'s format.
            values: the values for the message.
            extra: further fields of the log line.
        """
        level = logging.DEBUG if self.is_on else logging.WARNING
        if self._since is None:
            self._since = time.monotonic()
        # Name the caller's line in the log, not this one.
        self._logger.log(
            level, message, *values, extra={"event": self._event, **extra}, stacklevel=2
        )

    def works(self, message: str, *values: object, **extra: Any) -> None:
        """Note an attempt that succeeded. The message ends with how long the outage was."""
        if self._since is None:
            return
        seconds = time.monotonic() - self._since
        self._since = None
        self._logger.info(
            f"{message}, after %.0f s",
            *values,
            seconds,
            extra={"event": f"{self._event}_over", **extra},
            stacklevel=2,
        )
