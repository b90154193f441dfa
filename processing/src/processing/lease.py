"""Only one stream: an object in the lake says who it is, and is renewed for as long as it lives."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from processing.errors import ProcessError, Superseded
from processing.lake import Objects

LEASE = "_state/stream.json"
RENEW_S = 5.0
EXPIRES_S = 30.0
"""After so long without a renewal nobody holds it: the machine is gone, or was cut off."""


def find_holder(lake: Objects) -> str | None:
    """Where a stream runs, for people; None where none does."""
    found = lake.get_json(LEASE)
    return _describe(found) if found and _alive(found) else None


@contextmanager
def lease(lake: Objects, again: Callable[[], Objects]) -> Iterator[Callable[[], bool]]:
    """Hold the lease of streams; gives a function that tells whether it is still held.

    Args:
        lake: where it lies.
        again: makes another connection to it, for the thread that renews.

    Raises:
        ProcessError: another stream holds it.
    """
    known = lake.get(LEASE)
    found = lake.get_json(LEASE) if known else None
    if found and _alive(found):
        raise ProcessError(
            f"A stream runs already, on {_describe(found)}. One is enough: it does everything that is new."
        )
    mine = {
        "owner": uuid.uuid4().hex,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": _now().isoformat(timespec="seconds"),
    }
    try:
        lake.put_json(LEASE, _renewed(mine), {"If-Match": known[1]} if known else {"If-None-Match": "*"})
    except Superseded as error:
        raise ProcessError("Another stream has started at the same moment; this one has stopped.") from error
    over, lost = threading.Event(), threading.Event()

    def renew() -> None:
        own = again()
        seen = _now()
        while not over.wait(RENEW_S):
            try:
                tag = own.get(LEASE)
                if not tag or (own.get_json(LEASE) or {}).get("owner") != mine["owner"]:
                    lost.set()
                    return
                own.put_json(LEASE, _renewed(mine), {"If-Match": tag[1]})
                seen = _now()
            except Superseded:
                lost.set()
                return
            except ProcessError:
                # The lake does not answer. Nobody else can take the lease either, until it is back.
                if (_now() - seen).total_seconds() > EXPIRES_S:
                    lost.set()
                    return

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield lambda: not lost.is_set()
    finally:
        over.set()
        thread.join()
        if not lost.is_set():
            lake.remove(LEASE)


def _renewed(mine: dict[str, Any]) -> dict[str, Any]:
    return {**mine, "seen": _now().isoformat(timespec="milliseconds")}


def _alive(found: dict[str, Any]) -> bool:
    if (_now() - datetime.fromisoformat(found["seen"])).total_seconds() > EXPIRES_S:
        return False
    if found["host"] != socket.gethostname():
        return True
    # One that was killed on this machine need not be waited for.
    try:
        os.kill(found["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _describe(found: dict[str, Any]) -> str:
    return f"{found['host']} (process {found['pid']}) since {found['since']}"


def _now() -> datetime:
    return datetime.now(UTC)
