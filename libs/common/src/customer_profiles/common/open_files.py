"""The limit on open files, which shells on some systems set too low for Java."""

from __future__ import annotations

import resource

from customer_profiles.common.defaults import OPEN_FILES
from customer_profiles.common.errors import PipelineError


def ensure_open_files(needed: int = OPEN_FILES) -> None:
    """Raise this process's limit on open files, which the processes that it starts inherit.

    Args:
        needed: open files of one process.

    Raises:
        PipelineError: the system does not allow so many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _allows(soft, needed):
        return
    if not _allows(hard, needed):
        raise PipelineError(
            f"A process may have {hard} open files here (`ulimit -Hn`), and the servers and Spark "
            f"need {needed}.\nRun the command in a shell that allows more: start a new one, or "
            f"raise `nofile` to {needed} in /etc/security/limits.conf and log in again."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _allows(limit: int, needed: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= needed
