"""Workflows of the commands for rejected rows: dead-letters and redrive.

They are apart from `commands`, so that an ingestion does not import what only they need.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import RAW_EVENTS
from customer_profiles.ingestion import render
from customer_profiles.ingestion.dead_letters import (
    Selection,
    export_dead_letters,
    read_corrections,
    read_dead_letters,
    summarise,
)
from customer_profiles.ingestion.redrive import (
    SOURCE,
    complete_report,
    mark_duplicates,
    plan_corrections,
    plan_selection,
    read_event_ids,
    send_corrected,
)
from customer_profiles.ingestion.settings import Settings
from customer_profiles.kafka.admin import ensure_topics
from customer_profiles.kafka.producer import create_publisher
from customer_profiles.kafka.reader import read_topic

if TYPE_CHECKING:
    from rich.console import Console


def run_dead_letters(
    selection: Selection, export_path: Path | None, settings: Settings, console: Console
) -> int:
    """List dead letters; with a path, also export the open ones."""
    ensure_topics(settings.kafka)
    letters = [letter for letter in read_dead_letters(settings.kafka) if selection.matches(letter)]
    if letters:
        render.print_overview(summarise(letters), console)
    else:
        render.print_no_dead_letters(selection != Selection(), console)
    if export_path:
        open_letters = [letter for letter in letters if not letter.replayed]
        export_dead_letters(open_letters, export_path)
        render.print_export(len(open_letters), export_path, console)
    return 0


def run_redrive(
    selection: Selection,
    corrected_path: Path | None,
    apply: bool,
    settings: Settings,
    console: Console,
) -> int:
    """Check dead letters again, and send those that are valid now if `apply` is true.

    Writes `replay-latest.json`.
    """
    _check_redrive_arguments(selection, corrected_path)
    rows = read_corrections(corrected_path) if corrected_path else []
    started = time.perf_counter()
    config = settings.kafka
    ensure_topics(config)
    # Acquired before anything is read, so that no other redrive sends the same events meanwhile.
    publisher = create_publisher(settings.kafka_client, config, SOURCE) if apply else None
    letters = read_dead_letters(config, wait_for_open_transactions=apply)
    plan = (
        plan_corrections(letters, rows, settings.strict)
        if corrected_path
        else plan_selection(letters, selection, settings.strict)
    )
    present: Iterable[bytes | None] = ()
    if plan.corrected:
        events = read_topic(config, RAW_EVENTS, wait_for_open_transactions=apply)
        present = (message.value() for message in events)
    marked = mark_duplicates(plan.corrected, read_event_ids(present))
    if publisher:
        send_corrected(marked, publisher)
    report = complete_report(plan, marked, apply, time.perf_counter() - started)
    path = report.write(settings.reports)
    render.print_redrive_report(report, console)
    if not report.adds_up:
        raise PipelineError(
            "The dead letters do not add up. This is a defect of the redrive: please report it."
        )
    render.print_next_step(report, path, console)
    return 0


def _check_redrive_arguments(selection: Selection, corrected_path: Path | None) -> None:
    if corrected_path and selection != Selection():
        raise PipelineError(
            "A corrected file names its dead letters itself: leave out REASON, SOURCE and SINCE."
        )
    if not corrected_path and selection == Selection():
        raise PipelineError(
            "Say which dead letters: a corrected export, CORRECTED=letters.csv (its old name is "
            "MENDED=letters.csv),\nor all of a reason, after a rule has changed: REASON=…. "
            "`make dead-letters` lists them."
        )
