"""The metrics of runs that end, from the reports that they write."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from customer_profiles.telemetry.registry import Registry
from customer_profiles.telemetry.textfile import update_textfile
from customer_profiles.telemetry.traces import traced_run

Report = Mapping[str, Any]


@contextmanager
def observed_run(reports: Path, command: str, report: str) -> Iterator[None]:
    """Count a run, and what its report says, in the metrics of its command; trace it if asked to.

    Args:
        reports: the folder of the reports.
        command: the name of the command, and of the file of its metrics.
        report: the name of the file that the run writes.
    """
    began, written_before = time.time(), _written(reports / report)
    status = "failed"
    try:
        with traced_run(command):
            yield
        status = "succeeded"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        content: Report = {}
        if _written(reports / report) != written_before:
            with suppress(OSError, ValueError):
                content = json.loads((reports / report).read_text())
        ended = time.time()

        def change(registry: Registry) -> None:
            count_run(registry, command, status, began, ended)
            add = _REPORTS.get(report)
            if add is not None and isinstance(content, dict) and content:
                add(registry, command, content)

        update_textfile(reports, command, change)


def count_run(registry: Registry, command: str, status: str, began: float, ended: float) -> None:
    """Count a run that ended.

    Args:
        registry: the metrics of the command.
        command: the name of the command.
        status: `succeeded`, `failed` or `interrupted`.
        began: seconds since 1970.
        ended: seconds since 1970.
    """
    registry.increase("runs_total", command=command, status=status)
    registry.set("run_duration_seconds", round(ended - began, 3), command=command)
    registry.set("last_run_timestamp_seconds", round(ended, 3), command=command)
    if status == "succeeded":
        registry.set("last_success_timestamp_seconds", round(ended, 3), command=command)


def add_ingestion(registry: Registry, command: str, report: Report) -> None:
    """Add what `ingest-latest.json` says."""
    for name, key in (
        ("ingest_rows_read_total", "read"),
        ("ingest_events_accepted_total", "accepted"),
        ("ingest_rows_dead_lettered_total", "dead_lettered"),
        ("ingest_duplicates_total", "duplicates"),
    ):
        registry.increase(name, int(report.get(key) or 0))
    for reason, rows in (report.get("reasons") or {}).items():
        registry.increase("ingest_rows_rejected_total", int(rows), reason=str(reason))
    for stage, values in (report.get("stages") or {}).items():
        seconds = float(values.get("seconds") or 0)
        registry.increase("stage_seconds_total", seconds, command=command, stage=str(stage))


def add_processing(registry: Registry, command: str, report: Report) -> None:
    """Add what `process-latest.json` says."""
    for name, key in (
        ("events_landed_total", "events_landed"),
        ("invalid_messages_total", "misfits"),
        ("profiles_updated_total", "profiles_updated"),
        ("documents_indexed_total", "profiles_indexed"),
    ):
        registry.increase(name, int(report.get(key) or 0), command=command)
    is_behind = bool(report.get("index_error"))
    registry.increase("index_refusals_total", int(is_behind), command=command)
    registry.set("index_behind", int(is_behind), command=command)
    registry.set("failed_buckets", len(report.get("failed_buckets") or ()))
    registry.set("topic_gaps", len(report.get("gaps") or ()))
    if "customers" in report:
        registry.set("customers", int(report["customers"]))
    for stage, seconds in (report.get("seconds_by_stage") or {}).items():
        registry.increase("stage_seconds_total", float(seconds), command=command, stage=str(stage))


_REPORTS: Mapping[str, Callable[[Registry, str, Report], None]] = {
    "ingest-latest.json": add_ingestion,
    "process-latest.json": add_processing,
}


def _written(path: Path) -> tuple[int, int] | None:
    """Identify a version of a file, which is always replaced as a whole."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_ino, state.st_mtime_ns
