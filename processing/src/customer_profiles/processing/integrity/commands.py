"""`make verify` and `make repair`: connect, check, mend, report."""

from __future__ import annotations

import time
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from customer_profiles.common.errors import PipelineError
from customer_profiles.common.progress import ProgressDisplay
from customer_profiles.common.reports import write_json
from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.lease import lease_holder
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.s3 import S3ObjectStore
from customer_profiles.processing.integrity.deep import Contents, check_contents_of_lake
from customer_profiles.processing.integrity.diagnosis import Diagnosis, Progress, Servers
from customer_profiles.processing.integrity.render import print_findings, print_losses, report_of
from customer_profiles.processing.integrity.repair import Repaired, apply
from customer_profiles.processing.integrity.steps import Loss, mended_by_repair, plan_steps
from customer_profiles.processing.integrity.verify import check_metadata
from customer_profiles.processing.settings import Settings
from customer_profiles.processing.tasks.config import TaskConfig
from customer_profiles.profiles.segments import DEFAULT_SEGMENTS, read_segments
from customer_profiles.search.contents import IndexContents
from customer_profiles.search.metrics_indices import MetricsIndices
from customer_profiles.search.profile_index import ProfileIndex

if TYPE_CHECKING:
    from rich.console import Console

MAX_ROUNDS = 3
"""Damage may hide other damage, so a repair looks again; more often than this it does not help."""


def connect(settings: Settings) -> Servers:
    """Create the clients of a check."""
    tasks = TaskConfig.from_settings(settings)
    return Servers(
        store=S3ObjectStore(tasks.lake),
        kafka=tasks.kafka,
        index=ProfileIndex(tasks.search),
        contents=IndexContents(tasks.search),
        metrics=MetricsIndices(tasks.search),
        segments=read_segments(settings.segments or DEFAULT_SEGMENTS),
        buckets=settings.buckets,
    )


def run_integrity(arguments: Namespace, settings: Settings, console: Console) -> int:
    """Run `verify` or `repair`; return the exit code."""
    servers = connect(settings)
    if arguments.command == "verify":
        return verify(servers, settings.reports, console, deep=arguments.deep)
    return repair(servers, settings.reports, console, apply_it=arguments.apply)


def verify(servers: Servers, reports: Path, console: Console, *, deep: bool) -> int:
    """Check the whole lake; return 0 if nothing is wrong, and 1 with findings."""
    began = time.perf_counter()
    with ProgressDisplay(console, "parts") as progress:
        diagnosis = diagnose(servers, progress, deep=deep)
    seconds = time.perf_counter() - began
    written = write_json(
        reports / "verify-latest.json", report_of(diagnosis, deep=deep, seconds=seconds)
    )
    for note in diagnosis.notes:
        console.print(note, markup=False)
    if not diagnosis.findings:
        contents = "contents included" if deep else "metadata only; DEEP=1 reads the contents"
        console.print(f"No findings ({contents}, {seconds:.1f} s).", markup=False)
        return 0
    print_findings(diagnosis.findings, console)
    if holder := _holder(servers.store):
        console.print(
            f"A stream runs on {holder}. It may have written while this looked: end it, then run "
            "`make verify` again.",
            markup=False,
        )
    elif mended_by_repair(diagnosis.findings):
        console.print("Next: make repair, which says what it would do.", markup=False)
    console.print(f"Report: {written}", markup=False)
    return 1


def diagnose(servers: Servers, progress: Progress, *, deep: bool) -> Diagnosis:
    """Check metadata, and contents as well if `deep` is set."""
    progress("records", 0, 1)
    diagnosis = check_metadata(servers)
    if not deep:
        return diagnosis
    with TemporaryDirectory(prefix="verify-") as folder:
        return check_contents_of_lake(servers, diagnosis, Path(folder), progress)[0]


def repair(servers: Servers, reports: Path, console: Console, *, apply_it: bool) -> int:
    """Say what a repair would do, or do it; return 1 if something is lost or remains."""
    if holder := _holder(servers.store):
        raise PipelineError(
            f"A stream runs on {holder}, and a repair must not run beside it.\n"
            "End the stream first (Ctrl-C where it runs), then run `make repair` again."
        )
    began = time.perf_counter()
    with ProgressDisplay(console, "parts") as progress:
        diagnosis, steps, losses, error = repair_rounds(servers, progress, apply_it=apply_it)
    extra = {
        "applied": apply_it,
        "steps": steps,
        "lost": [loss.to_json() for loss in losses],
        "index_error": error,
    }
    seconds = time.perf_counter() - began
    report = report_of(diagnosis, deep=True, seconds=seconds, extra=extra)
    written = write_json(reports / "repair-latest.json", report)
    _print_repair(diagnosis, steps, losses, console, apply_it=apply_it)
    console.print(f"Report: {written}", markup=False)
    if error:
        raise PipelineError(error)
    return 1 if losses or (apply_it and mended_by_repair(diagnosis.findings)) else 0


def repair_rounds(
    servers: Servers, progress: Progress, *, apply_it: bool
) -> tuple[Diagnosis, list[str], list[Loss], str | None]:
    """Check and mend until nothing is left to mend.

    Returns:
        The last diagnosis, what was done or would be done, what is lost, and why the index could
        not be mended.
    """
    done: list[str] = []
    losses: list[Loss] = []
    for _ in range(MAX_ROUNDS):
        with TemporaryDirectory(prefix="repair-") as folder:
            progress("records", 0, 1)
            metadata = check_metadata(servers)
            diagnosis, contents = check_contents_of_lake(servers, metadata, Path(folder), progress)
            steps = plan_steps(diagnosis)
            if not steps or not apply_it:
                return diagnosis, done + steps, losses, None
            repaired = _apply(servers, diagnosis, contents, progress)
        done += steps
        losses += repaired.losses
        if repaired.index_error:
            return diagnosis, done, losses, repaired.index_error
    return diagnose(servers, progress, deep=True), done, losses, None


def _apply(
    servers: Servers, diagnosis: Diagnosis, contents: Contents, progress: Progress
) -> Repaired:
    if holder := _holder(servers.store):
        raise PipelineError(
            f"A stream has started on {holder}; the repair has stopped.\n"
            "End the stream first (Ctrl-C where it runs), then run `make repair` again."
        )
    return apply(servers, diagnosis, contents, progress)


def _print_repair(
    diagnosis: Diagnosis, steps: list[str], losses: list[Loss], console: Console, *, apply_it: bool
) -> None:
    for note in diagnosis.notes:
        console.print(note, markup=False)
    if not steps and not diagnosis.findings:
        console.print("Nothing to repair.")
        return
    if diagnosis.findings:
        print_findings(diagnosis.findings, console)
    if steps:
        console.print("[bold]Done[/]" if apply_it else "[bold]To be done[/]")
        for step in steps:
            console.print(f"  {step}", markup=False)
    if losses:
        print_losses(losses, console)
    if not apply_it and steps:
        console.print("Next: make repair APPLY=1, which does this.", markup=False)
    elif steps and not mended_by_repair(diagnosis.findings):
        console.print("Next: make process, then make verify.", markup=False)


def _holder(store: ObjectStore) -> str | None:
    """Return who streams; a lease that cannot be read belongs to nobody."""
    try:
        return lease_holder(store)
    except DamagedObjectError:
        return None
