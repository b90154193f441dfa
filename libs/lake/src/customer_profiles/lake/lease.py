"""The lease of a stream: an object in the lake that its holder renews while it is active."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from customer_profiles.common.clock import now_utc
from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.lake.errors import (
    DamagedObjectError,
    LakeUnavailableError,
    WriteConflictError,
)
from customer_profiles.lake.layout import LEASE
from customer_profiles.lake.object_store import ObjectStore, parse_record

logger = logging.getLogger(__name__)

RENEW_S = 5.0
EXPIRES_S = 30.0
"""After this time without a renewal the holder is gone: its machine stopped or lost the network."""
MAX_CLOCK_AHEAD_S = 300.0
"""How far a holder's clock may be ahead of this machine's, and its lease still counts."""


def lease_holder(store: ObjectStore) -> str | None:
    """Return a description of the stream that holds the lease; None if no stream is active."""
    lease, _ = _read(store)
    return _describe(lease) if lease and _is_active(lease) else None


@contextmanager
def hold_lease(
    store: ObjectStore, connect: Callable[[], ObjectStore]
) -> Iterator[Callable[[], bool]]:
    """Hold the lease of streams, and renew it on a thread of its own.

    Args:
        store: the lake.
        connect: opens another connection to the lake, for the thread.

    Yields:
        A function that returns whether this process still holds the lease. It raises
        LakeUnavailableError while nobody can tell, because the lake has not answered for
        `EXPIRES_S`; the process must not write until then.

    Raises:
        PipelineError: another stream holds the lease.
    """
    lease = {
        "owner": uuid.uuid4().hex,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": now_utc().isoformat(timespec="seconds"),
    }
    _acquire(store, lease)
    renewal = _Renewal(connect, lease)
    renewal.start()
    try:
        yield renewal.is_held
    finally:
        renewal.stop()
        if not renewal.is_lost():
            _release(store, str(lease["owner"]))


def _acquire(store: ObjectStore, lease: dict[str, Any]) -> None:
    content, etag = _read(store)
    if content and _is_active(content):
        raise PipelineError(
            f"A stream runs already, on {_describe(content)}. One is enough: it does everything "
            "that is new."
        )
    try:
        store.put_json(LEASE, _renewed(lease), if_match=etag or None, if_absent=etag is None)
    except WriteConflictError as error:
        raise PipelineError(
            "Another stream has started at the same moment; this one has stopped."
        ) from error


def _release(store: ObjectStore, owner: str) -> None:
    try:
        # While the lake did not answer, the lease may have expired and be another stream's.
        content, _ = _read(store)
        if content is None or content["owner"] == owner:
            store.delete(LEASE)
    except PipelineError as error:
        logger.warning(
            "the stream's lease could not be deleted; it expires after %g s: %s",
            EXPIRES_S,
            first_line(error),
            extra={"event": "lease_not_released"},
        )


class _Renewal:
    """The thread that renews a lease.

    It is a daemon thread: if the process ends without releasing the lease, the lease expires.
    """

    def __init__(self, connect: Callable[[], ObjectStore], lease: dict[str, Any]) -> None:
        self._connect = connect
        self._lease = lease
        self._stopped = threading.Event()
        self._lost = threading.Event()
        self._renewed = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="lease-renewal", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def is_lost(self) -> bool:
        return self._lost.is_set()

    def is_held(self) -> bool:
        if self._lost.is_set():
            return False
        if time.monotonic() - self._renewed > EXPIRES_S:
            raise LakeUnavailableError(
                f"The stream's lease was not renewed for {EXPIRES_S:g} s, because MinIO does not "
                "answer.\nRun `make up` to start the stack, or `make status`."
            )
        return True

    def _run(self) -> None:
        try:
            self._renew_until_stopped()
        except Exception:
            # Without a renewal the lease expires, so the stream has to stop.
            logger.exception("the renewal of the stream's lease failed")
            self._lost.set()

    def _renew_until_stopped(self) -> None:
        store = self._connect()
        while not self._stopped.wait(RENEW_S):
            began = time.monotonic()
            try:
                self._renew(store)
            except WriteConflictError as error:
                self._lose(f"another stream has taken it over. {first_line(error)}")
                return
            except PipelineError as error:
                # Until the lake answers, no other stream can take the lease either. The stream
                # itself notices and says that the lake is away.
                logger.debug("the stream's lease was not renewed: %s", first_line(error))
            else:
                self._renewed = began

    def _renew(self, store: ObjectStore) -> None:
        content, etag = _read(store)
        if etag is None:
            raise WriteConflictError(f"{LEASE} was deleted in the meantime.")
        if content is not None and content["owner"] != self._lease["owner"]:
            raise WriteConflictError(f"{LEASE} belongs to {_describe(content)}.")
        # A damaged lease is this stream's own: another one would have replaced it.
        store.put_json(LEASE, _renewed(self._lease), if_match=etag or None)

    def _lose(self, reason: str) -> None:
        logger.warning("this stream has lost its lease: %s", reason, extra={"event": "lease_lost"})
        self._lost.set()


def _renewed(lease: dict[str, Any]) -> dict[str, Any]:
    return {**lease, "seen": now_utc().isoformat(timespec="milliseconds")}


def _read(store: ObjectStore) -> tuple[dict[str, Any] | None, str | None]:
    """Return the lease and its ETag.

    A damaged lease is None, because nobody could renew it. Its ETag may be empty, if unknown.
    """
    try:
        stored = store.get(LEASE)
        return (
            (None, None) if stored is None else (parse_record(LEASE, stored, _check), stored.etag)
        )
    except DamagedObjectError as error:
        logger.warning(
            "the stream's lease does not count, because it is damaged: %s",
            error.problem,
            extra={"event": "lease_damaged"},
        )
        return None, error.etag


def _check(lease: dict[str, Any]) -> dict[str, Any]:
    """See that a lease has all values.

    Raises:
        KeyError, TypeError, ValueError: it has not.
    """
    if datetime.fromisoformat(lease["seen"]).tzinfo is None:
        raise ValueError("seen is in no time zone")
    if not 0 < int(lease["pid"]) < 2**31:
        raise ValueError("pid is no number of a process")
    names = {name: str(lease[name]) for name in ("owner", "host", "since")}
    return {**lease, **names, "pid": int(lease["pid"])}


def _is_active(lease: dict[str, Any]) -> bool:
    age = (now_utc() - datetime.fromisoformat(lease["seen"])).total_seconds()
    # The holder's clock may be ahead. A time that lies far in the future was written by a clock
    # that was wrong, and would keep others away until then.
    if age > EXPIRES_S or age < -MAX_CLOCK_AHEAD_S:
        return False
    if lease["host"] != socket.gethostname():
        return True
    # The holder ran on this machine. If its process is gone, nobody has to wait for the expiry.
    try:
        os.kill(lease["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _describe(lease: dict[str, Any]) -> str:
    return f"{lease['host']} (process {lease['pid']}) since {lease['since']}"
