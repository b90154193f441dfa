"""How a run ended: its report, its status and its exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from customer_profiles.common.errors import DegradedError, PipelineError
from customer_profiles.common.run_record import RunRecord, Status
from customer_profiles.lake.quarantine import WAITING_NOTE
from customer_profiles.processing.render import gap_lines
from customer_profiles.processing.report import RunReport


def write_report(
    report: RunReport, reports: Path, record: RunRecord, failure: PipelineError | None
) -> tuple[Path | None, PipelineError | None]:
    """Leave the report, and for `make status` the open gaps and what waits for a decision.

    Returns:
        The report's path, or why it could not be written. People see what was done all the same.
    """
    record.content = report.to_json
    status = Status.DEGRADED if report.degraded else Status.OK
    code = DegradedError.exit_code if report.degraded else 0
    if failure:
        code = failure.exit_code
        status = Status.DEGRADED if isinstance(failure, DegradedError) else Status.FAILED
    try:
        note_gaps(report.gaps, reports)
        _note(report.waiting, reports / WAITING_NOTE)
        return record.finish(status, exit_code=code, error=str(failure) if failure else None), None
    except (PipelineError, OSError) as error:
        return None, PipelineError(str(error))


def note_gaps(gaps: Sequence[Mapping[str, Any]], reports: Path) -> None:
    """Leave the open gaps, as in the report, for `make status`."""
    _note(gap_lines(gaps), reports / "gaps.txt")


def _note(lines: Sequence[str], note: Path) -> None:
    if lines:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text("\n".join(lines) + "\n")
    else:
        note.unlink(missing_ok=True)


def exit_code(
    report: RunReport, failure: PipelineError | None, unwritten: PipelineError | None
) -> int:
    """Return the exit code of a run, after everything was printed.

    Raises:
        PipelineError: something failed.
    """
    if failure:
        raise failure
    if unwritten:
        raise unwritten
    # The log has said what is behind.
    return DegradedError.exit_code if report.degraded else 0


def failure_of(report: RunReport) -> PipelineError | None:
    """Return what a run that reached its end could not do; None if it did everything."""
    if report.failed_buckets:
        reasons = "\n".join(
            f"  bucket {bucket}: {reason}" for bucket, reason in report.failed_buckets.items()
        )
        number = len(report.failed_buckets)
        buckets = "1 bucket" if number == 1 else f"{number} buckets"
        return PipelineError(
            f"The newest profiles of {buckets} could not be built:\n"
            f"{reasons}\n"
            "Their profiles are as before, and all other buckets are up to date.\n"
            "`make process` tries them again."
        )
    return DegradedError(report.index_error) if report.index_error else None
