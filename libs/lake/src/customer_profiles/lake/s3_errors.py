"""What obstore's errors mean for the person at the command line.

obstore reports the status and the body of MinIO's answer only in the text of an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError

from customer_profiles.lake.errors import LakeUnavailableError

S3_ERRORS = (GenericError, PermissionDeniedError, UnauthenticatedError, TimeoutError)
"""What a request can raise, apart from conflicts and missing objects."""
_UNREADABLE = frozenset({"SlowDownRead", "InternalError", "XMinioStorageCorrupted"})
"""What MinIO answers for an object whose bytes on the disk are not those that it wrote."""
_STATUS = re.compile(r"status code: (\d{3}[^:\n]*)")
_DETAIL = re.compile(r"<Code>(.*?)</Code><Message>(.*?)</Message>", re.DOTALL)


@contextmanager
def translate_errors(address: str, action: str) -> Iterator[None]:
    """Turn errors of obstore into errors that name the next action.

    Args:
        address: where MinIO should answer; part of the message.
        action: the operation and the object, such as `write _state/stream.json`.

    Raises:
        LakeUnavailableError: MinIO does not answer or refuses. A conflict passes unchanged.
    """
    try:
        yield
    # FileNotFoundError: the S3 bucket is missing.
    except (*S3_ERRORS, FileNotFoundError) as error:
        raise unavailable(address, action, error) from error


def unavailable(address: str, action: str, error: Exception) -> LakeUnavailableError:
    """Return the error that tells a person why an operation failed and what to do next.

    Args:
        address: where MinIO should answer.
        action: the operation and the object.
        error: what obstore raised.
    """
    status = _STATUS.search(str(error))
    if status is None:
        return LakeUnavailableError(
            f"MinIO does not answer on {address}.\n"
            "Run `make up` to start the stack, or `make status`."
        )
    detail = _DETAIL.search(str(error))
    reason = f"{detail[2].rstrip('.')} ({detail[1]})" if detail else status[1].strip()
    if status[1].startswith("403"):
        return LakeUnavailableError(
            f"MinIO on {address} refuses: {reason}.\n"
            "MINIO_ROOT_USER and MINIO_ROOT_PASSWORD in .env have to be those with which it was "
            "started."
        )
    return LakeUnavailableError(
        f"MinIO on {address} refused to {action}: {reason}.\n"
        "See `make status` for room on the disk and `make logs`."
    )


def may_be_damage(error: Exception) -> bool:
    """Tell whether a read can have failed because MinIO cannot read the object.

    MinIO finds changed bytes by checksums of its own. It then answers with an error, ends the
    answer half-way, or sends no more of it.
    """
    status = _STATUS.search(str(error))
    if status is None:
        return True
    detail = _DETAIL.search(str(error))
    # A HEAD has no body with a code. A retry in the middle of an answer may be refused with 403.
    if status[1][:3] in ("403", "500"):
        return True
    return detail is not None and detail[1] in _UNREADABLE


def reason_of(error: Exception) -> str:
    """Return in a few words what MinIO answered."""
    status, detail = _STATUS.search(str(error)), _DETAIL.search(str(error))
    if detail:
        return f"{detail[2].rstrip('.')}: {detail[1]}"
    if status:
        return status[1].strip()
    return "it does not arrive"


def is_final(error: GenericError) -> bool:
    """Tell whether MinIO answered and would give the same answer to a retry."""
    status = _STATUS.search(str(error))
    return status is not None and not status[1].startswith("5")
