"""What obstore's errors mean for the person at the command line.

obstore reports the status and the body of MinIO's answer only in the text of an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError

from customer_profiles.lake.errors import LakeUnavailableError

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
    except (
        GenericError,
        PermissionDeniedError,
        UnauthenticatedError,
        FileNotFoundError,
    ) as error:
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


def is_final(error: GenericError) -> bool:
    """Tell whether MinIO answered and would give the same answer to a retry."""
    status = _STATUS.search(str(error))
    return status is not None and not status[1].startswith("5")
