"""Metrics of runs that end: files for the textfile collector of node-exporter.

A file is replaced atomically. A run adds to the counters of the runs before it, under a lock, so
two runs at once lose nothing.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Callable
from pathlib import Path

from customer_profiles.telemetry.registry import Registry

FOLDER = "metrics"
"""The folder of the files, in that of the reports."""

logger = logging.getLogger(__name__)


def textfile(reports: Path, name: str) -> Path:
    """Return the path of a process's file."""
    return reports / FOLDER / f"{name}.prom"


def update_textfile(reports: Path, name: str, change: Callable[[Registry], None]) -> None:
    """Change the metrics of a process and write them.

    Metrics are no reason for a run to fail: a file that cannot be written is logged for debugging.

    Args:
        reports: the folder of the reports.
        name: the process, such as `ingest`.
        change: adds to counters and sets gauges.
    """
    path = textfile(reports, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            registry = Registry()
            if path.exists():
                registry.restore(path.read_text(errors="replace"))
            change(registry)
            write_textfile(path, registry)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        logger.debug("the metrics of %s are not written: %s", name, error)


def write_textfile(path: Path, registry: Registry) -> None:
    """Replace a file by the current metrics; a reader sees the old file or the new one.

    Raises:
        OSError: the folder is not writable.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # node-exporter reads `*.prom` alone.
    temporary = path.with_suffix(".new")
    temporary.write_text(registry.render())
    temporary.replace(path)
