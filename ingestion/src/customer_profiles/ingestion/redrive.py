"""Redrive: send corrected dead letters again, each at most once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl

from customer_profiles.common.clock import now_utc
from customer_profiles.contracts import (
    COLUMNS,
    RAW_EVENTS,
    REPLAYED,
    SCHEMA_VERSION,
    InvalidMessageError,
    InvalidMessages,
    Redriven,
    category_root,
    decode_event,
    encode,
    event_id,
)
from customer_profiles.ingestion.corrections import (
    NOT_A_ROW,
    Reasons,
    Values,
    check_correction,
    check_text,
    is_of,
)
from customer_profiles.ingestion.dead_letters import Selection, StoredDeadLetter
from customer_profiles.ingestion.report import RedriveReport
from customer_profiles.kafka.producer import Publisher
from customer_profiles.kafka.redriven_records import REDRIVE_SOURCE

SOURCE = REDRIVE_SOURCE
CHUNK = 10_000
"""Dead letters in one transaction."""


@dataclass(frozen=True, slots=True)
class Corrected:
    """A dead letter that is a valid event now."""

    letter: StoredDeadLetter
    event_id: str
    key: str
    value: str
    """The message, as JSON."""
    duplicate: bool = False
    """The event is in the topic already, or occurs earlier in this redrive."""


@dataclass(frozen=True, slots=True)
class RedrivePlan:
    """What a redrive will send, before duplicates are known."""

    corrected: list[Corrected]
    report: RedriveReport


def plan_selection(
    letters: Iterable[StoredDeadLetter], selection: Selection, strict: bool = False
) -> RedrivePlan:
    """Check the original text of selected dead letters by the current rules.

    Args:
        letters: all dead letters.
        selection: which of them to check.
        strict: accept only what `contracts.check` accepts as it stands.
    """
    selected = [letter for letter in letters if selection.matches(letter)]
    return _plan(((letter, *check_text(letter, strict)) for letter in selected), unknown=0)


def plan_corrections(
    letters: Iterable[StoredDeadLetter],
    rows: Sequence[tuple[str, dict[str, str]]],
    strict: bool = False,
) -> RedrivePlan:
    """Check the corrected values of dead letters.

    A row with the values of its export was not corrected, so it keeps its reasons.

    Args:
        letters: all dead letters.
        rows: dead-letter id and cells, as `read_corrections` returns them.
        strict: accept only what `contracts.check` accepts as it stands.
    """
    by_id = {letter.dead_letter_id: letter for letter in letters}
    checked: list[tuple[StoredDeadLetter, Values, Reasons]] = []
    unknown = 0
    for dead_letter_id, values in rows:
        letter = by_id.get(dead_letter_id)
        if letter is None or not is_of(letter, values):
            unknown += 1
        else:
            del by_id[dead_letter_id]
            checked.append((letter, *check_correction(letter, values, strict)))
    return _plan(checked, unknown)


def _plan(checked: Iterable[tuple[StoredDeadLetter, Values, Reasons]], unknown: int) -> RedrivePlan:
    report = RedriveReport(applied=False, selected=unknown, unknown=unknown)
    corrected: list[Corrected] = []
    reason_counts: Counter[str] = Counter()
    for letter, values, reasons in checked:
        report.selected += 1
        if letter.replayed:
            report.already_replayed += 1
        elif reasons:
            report.still_rejected += 1
            reason_counts.update(str(reason) for reason in reasons)
        else:
            try:
                corrected.append(_to_message(letter, values))
            except InvalidMessageError:
                # Its values are those of an event, and its place is not one of a row.
                report.still_rejected += 1
                reason_counts[NOT_A_ROW] += 1
    report.reasons = dict(reason_counts.most_common())
    return RedrivePlan(corrected, report)


def _to_message(letter: StoredDeadLetter, values: Values) -> Corrected:
    """Return the message of an event; raise `InvalidMessageError` if processing would reject it."""
    identity = event_id(values)
    message = {
        "event_id": identity,
        **{column: values[column] for column in COLUMNS},
        "category_root": category_root(values["category_code"]),
        "schema_version": SCHEMA_VERSION,
        "source": letter.content.source,
        "source_row": letter.content.source_row,
    }
    value = encode(message)
    decode_event(value)
    return Corrected(letter, identity, values["user_id"] or "", value.decode())


def mark_duplicates(
    corrected: Sequence[Corrected], present_event_ids: Iterable[str]
) -> list[Corrected]:
    """Mark the events that would be in the topic twice.

    Args:
        corrected: in the order in which they would be sent.
        present_event_ids: ids of the events in the topic.

    Returns:
        The same events in the same order, with `duplicate` set.
    """
    candidates = {event.event_id for event in corrected}
    seen = {identity for identity in present_event_ids if identity in candidates}
    marked = []
    for event in corrected:
        marked.append(replace(event, duplicate=event.event_id in seen))
        seen.add(event.event_id)
    return marked


def send_corrected(
    corrected: Sequence[Corrected],
    publisher: Publisher,
    clock: Callable[[], datetime] = now_utc,
    *,
    letters_topic: str | None = None,
) -> None:
    """Send events that are not duplicates, and note all dead letters as replayed.

    An event and the note of its dead letter are in one transaction.

    Args:
        corrected: as `mark_duplicates` returns them.
        publisher: owns `SOURCE`.
        clock: returns the current time.
        letters_topic: Kafka's id of the topic of dead letters.

    Raises:
        PipelineError: Kafka does not accept them, or another redrive has acquired `SOURCE`.
    """
    for start in range(0, len(corrected), CHUNK):
        chunk = corrected[start : start + CHUNK]
        events = [event for event in chunk if not event.duplicate]
        now = clock().isoformat(timespec="seconds")
        letter_ids = _texts(event.letter.dead_letter_id for event in chunk)
        notes = _texts(_record(event, now, letters_topic).to_json() for event in chunk)
        publisher.begin()
        try:
            keys, values = _texts(e.key for e in events), _texts(e.value for e in events)
            publisher.send(RAW_EVENTS.name, keys, values)
            publisher.send(REPLAYED.name, letter_ids, notes)
        except BaseException:
            publisher.abort()
            raise
        publisher.commit()


def _record(event: Corrected, now: str, letters_topic: str | None) -> Redriven:
    content = event.letter.content
    return Redriven(
        event.event_id,
        not event.duplicate,
        now,
        letters_topic,
        content.source,
        content.source_row,
    )


def _texts(values: Iterable[str]) -> pl.Series:
    return pl.Series(list(values), dtype=pl.String)


def complete_report(
    plan: RedrivePlan,
    marked: Sequence[Corrected],
    applied: bool,
    seconds: float,
    invalid: Iterable[InvalidMessages] = (),
) -> RedriveReport:
    """Return the report of a plan whose duplicates are known.

    Args:
        plan: the plan.
        marked: its events, as `mark_duplicates` returns them.
        applied: whether the events were sent.
        seconds: duration of the redrive.
        invalid: the messages that could not be read.
    """
    duplicates = sum(event.duplicate for event in marked)
    return replace(
        plan.report,
        applied=applied,
        duplicates=duplicates,
        sent=len(marked) - duplicates,
        invalid_messages={messages.topic: messages.count for messages in invalid if messages.count},
        seconds=round(seconds, 3),
    )
