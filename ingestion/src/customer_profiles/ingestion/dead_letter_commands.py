"""Workflows of the commands for rejected rows: dead-letters and redrive.

They are apart from `commands`, so that an ingestion does not import what only they need.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from customer_profiles.common.errors import PipelineError
from customer_profiles.common.reports import check_folder
from customer_profiles.common.run_record import RunRecord, Status, recorded_run
from customer_profiles.contracts import RAW_EVENTS, InvalidMessages
from customer_profiles.ingestion import render
from customer_profiles.ingestion.dead_letters import (
    Selection,
    export_dead_letters,
    read_corrections,
    read_dead_letters,
    summarise,
)
from customer_profiles.ingestion.present_events import present_event_ids
from customer_profiles.ingestion.redrive import (
    SOURCE,
    complete_report,
    mark_duplicates,
    plan_corrections,
    plan_selection,
    send_corrected,
)
from customer_profiles.ingestion.settings import Settings
from customer_profiles.ingestion.sources import log_invalid
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
    stored = read_dead_letters(settings.kafka)
    for invalid in stored.invalid:
        log_invalid(invalid)
    letters = [letter for letter in stored.letters if selection.matches(letter)]
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
    check_folder(settings.reports)
    with recorded_run(settings.reports, "replay", "redrive") as record:
        return _redrive(selection, corrected_path, apply, settings, console, record)


def _redrive(
    selection: Selection,
    corrected_path: Path | None,
    apply: bool,
    settings: Settings,
    console: Console,
    record: RunRecord,
) -> int:
    rows = read_corrections(corrected_path) if corrected_path else []
    started = time.perf_counter()
    config = settings.kafka
    ensure_topics(config)
    # Acquired before anything is read, so that no other redrive sends the same events meanwhile.
    publisher = create_publisher(settings.kafka_client, config, SOURCE) if apply else None
    stored = read_dead_letters(config, wait_for_open_transactions=apply)
    letters = stored.letters
    plan = (
        plan_corrections(letters, rows, settings.strict)
        if corrected_path
        else plan_selection(letters, selection, settings.strict)
    )
    invalid_events = InvalidMessages(RAW_EVENTS.name)
    present: Iterable[str] = ()
    if plan.corrected:
        events = read_topic(config, RAW_EVENTS, wait_for_open_transactions=apply)
        candidates = {corrected.event_id for corrected in plan.corrected}
        present = present_event_ids(events, candidates, invalid_events)
    marked = mark_duplicates(plan.corrected, present)
    if publisher:
        send_corrected(marked, publisher, letters_topic=stored.topic_id)
    invalid = [*stored.invalid, invalid_events]
    for messages in invalid:
        log_invalid(messages)
    report = complete_report(plan, marked, apply, time.perf_counter() - started, invalid)
    render.print_redrive_report(report, console)
    record.content = partial(asdict, report)
    if not report.adds_up:
        raise PipelineError(
            "The dead letters do not add up. This is a defect of the redrive: please report it."
        )
    path = record.finish(Status.OK)
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
