"""Wait for a server that went away: a stream outlives it, however long that takes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.common.outages import Outages
from customer_profiles.kafka.errors import BrokerUnavailableError
from customer_profiles.lake.errors import LakeUnavailableError

T = TypeVar("T")

FIRST_PAUSE_S = 1.0
"""Before the second attempt. It doubles with each attempt."""
MAX_PAUSE_S = 15.0
"""Longest pause between two attempts."""
WAITS = "The stream waits for it"
GOES_ON = "the stream goes on"


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
        outages: is told of servers that go away and come back.
    """

    def __init__(
        self, stop: threading.Event, holds_lease: Callable[[], bool], outages: Outages
    ) -> None:
        self._stop = stop
        self._holds_lease = holds_lease
        self._outages = outages

    def __call__(self, action: Callable[[], T]) -> T:
        """Call a function until its servers answer.

        Raises:
            PipelineError: the stream was told to stop, or another stream has taken over.
        """
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                # Nothing is written before it is certain that nobody else writes.
                check_lease(self._holds_lease)
                result = action()
            except (BrokerUnavailableError, LakeUnavailableError) as error:
                if self._stop.is_set():
                    raise
                self._outages.fails(server_of(error), first_line(error))
                self._stop.wait(pause_s)
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
            else:
                for server in SERVERS.values():
                    self._outages.works(server, GOES_ON)
                return result


SERVERS: dict[type[PipelineError], str] = {
    BrokerUnavailableError: "Kafka",
    LakeUnavailableError: "MinIO",
}
"""The server that each error says is away."""


def server_of(error: PipelineError) -> str:
    """Return which server is away."""
    return next(server for kind, server in SERVERS.items() if isinstance(error, kind))


def check_lease(holds_lease: Callable[[], bool]) -> None:
    """Stop a stream that is no longer the only one.

    Raises:
        LakeUnavailableError: nobody can tell, because the lake does not answer.
        PipelineError: the lease is lost.
    """
    if not holds_lease():
        raise PipelineError(
            "Another stream has taken over; this one has stopped.\n"
            "Nothing is lost: `make status`, then `make stream` again."
        )
