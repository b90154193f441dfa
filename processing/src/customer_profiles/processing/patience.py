"""Wait for a server that went away: a stream outlives a restart of Kafka or MinIO."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.common.outage import Outage
from customer_profiles.kafka.errors import BrokerUnavailableError
from customer_profiles.lake.errors import LakeUnavailableError

logger = logging.getLogger(__name__)

T = TypeVar("T")

WAIT_S = 120.0
"""How long a server may be away before the stream gives up."""
PAUSE_S = 1.0
"""Between two attempts."""


class Retry(Protocol):
    """Calls a function, perhaps again."""

    def __call__(self, action: Callable[[], T]) -> T:
        """Return what the function returns."""
        ...


def try_once(action: Callable[[], T]) -> T:
    """Call a function once."""
    return action()


class Patience:
    """Repeats what fails because Kafka or MinIO does not answer.

    Only a function that changes nothing before it succeeds, or the same again, may be repeated.

    Args:
        stop: ends the wait.
        holds_lease: tells whether this stream still is the only one.
    """

    def __init__(self, stop: threading.Event, holds_lease: Callable[[], bool]) -> None:
        self._stop = stop
        self._holds_lease = holds_lease
        self._outage = Outage(logger, "server_away")

    def __call__(self, action: Callable[[], T]) -> T:
        """Call a function until its servers answer.

        Raises:
            PipelineError: the server stayed away for `WAIT_S`, the stream was told to stop, or
                another stream has taken over.
        """
        deadline: float | None = None
        while True:
            try:
                result = action()
            except (BrokerUnavailableError, LakeUnavailableError) as error:
                deadline = deadline or time.monotonic() + WAIT_S
                if self._stop.is_set() or time.monotonic() > deadline:
                    raise
                self._outage.fails(
                    "%s The stream waits for it, %.0f s at the most",
                    first_line(error),
                    WAIT_S,
                )
                self._stop.wait(PAUSE_S)
                check_lease(self._holds_lease)
            else:
                self._outage.works("the stream goes on")
                return result


def check_lease(holds_lease: Callable[[], bool]) -> None:
    """Stop a stream that is no longer the only one.

    Raises:
        PipelineError: the lease is lost.
    """
    if not holds_lease():
        raise PipelineError(
            "Another stream has taken over, or the lake did not answer for long; this one has "
            "stopped.\nNothing is lost: `make status`, then `make stream` again."
        )
