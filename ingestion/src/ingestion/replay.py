"""Send mended dead letters again, each at most once."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from contracts import COLUMNS, RAW_EVENTS, REPLAYED, SCHEMA_VERSION, Reason, check, encode, event_id
from contracts.rules import category_root
from ingestion.letters import Letter, Selection
from ingestion.publish import Publisher
from ingestion.report import write_report
from ingestion.run import now_utc
from ingestion.validate import check_line

SOURCE = "dead letters"
"""What replays take over, so that only one is at work."""
CHUNK = 10_000
NOT_A_ROW = "not_a_row"
"""A message that is no line of a source: its publisher has to send it again."""


@dataclass(frozen=True, slots=True)
class Mended:
    """A letter that is an event now."""

    letter: Letter
    event_id: str
    key: str
    value: str
    duplicate: bool = False
    """This event is in the topic already, or stands in this replay before."""


@dataclass(slots=True)
class ReplayReport:
    """Counts of one replay; every letter that is selected ends in exactly one of the others."""

    applied: bool
    selected: int = 0
    sent: int = 0
    """Or what would be sent, when nothing was applied."""
    duplicates: int = 0
    already_replayed: int = 0
    unknown: int = 0
    """Rows of a mended file that name no letter of the topic, or one that the file has named before."""
    still_rejected: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def adds_up(self) -> bool:
        return self.selected == (
            self.sent + self.duplicates + self.already_replayed + self.unknown + self.still_rejected
        )

    def write(self, folder: Path) -> Path:
        """Leave the report as `replay-latest.json`; returns its path."""
        return write_report(folder / "replay-latest.json", asdict(self))


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay does."""

    mended: list[Mended]
    report: ReplayReport


def plan_selection(letters: Iterable[Letter], selection: Selection) -> Plan:
    """Check the original text of selected letters by the rules as they are now."""
    report = ReplayReport(applied=False)
    chosen = [letter for letter in letters if selection.fits(letter)]
    return _plan(((letter, *_check_text(letter)) for letter in chosen), report)


def plan_mended(letters: Iterable[Letter], rows: Sequence[tuple[str, dict[str, str]]]) -> Plan:
    """Check the mended values of letters that are named by their place."""
    report = ReplayReport(applied=False)
    by_place = {letter.place: letter for letter in letters}
    chosen = []
    for place, values in rows:
        letter = by_place.pop(place, None)
        if letter is None:
            report.unknown += 1
        else:
            chosen.append((letter, *check(values)))
    return _plan(chosen, report)


def _check_text(letter: Letter) -> tuple[dict[str, str | None], list[Reason] | list[str]]:
    content = letter.content
    if content.columns is None:
        return {}, [NOT_A_ROW]
    if Reason.NOT_UTF8 in content.reasons:
        # The text shows its bytes by their numbers: it is no longer what was sent.
        return {}, [Reason.NOT_UTF8]
    return check_line(content.text.encode(), content.columns)


def _plan(
    checked: Iterable[tuple[Letter, dict[str, str | None], list[Reason] | list[str]]], report: ReplayReport
) -> Plan:
    mended: list[Mended] = []
    reasons: Counter[str] = Counter()
    report.selected = report.unknown
    for letter, values, why in checked:
        report.selected += 1
        if letter.replayed:
            report.already_replayed += 1
        elif why:
            report.still_rejected += 1
            reasons.update(str(reason) for reason in why)
        else:
            mended.append(_as_message(letter, values))
    report.reasons = dict(reasons.most_common())
    return Plan(mended, report)


def _as_message(letter: Letter, values: dict[str, str | None]) -> Mended:
    identity = event_id(values)
    message = {
        "event_id": identity,
        **{column: values[column] for column in COLUMNS},
        "category_root": category_root(values["category_code"]),
        "schema_version": SCHEMA_VERSION,
        "source": letter.content.source,
        "source_row": letter.content.source_row,
    }
    return Mended(letter, identity, values["user_id"] or "", encode(message).decode())


def mark_duplicates(mended: Sequence[Mended], present: Iterable[str]) -> list[Mended]:
    """Tell which events would come twice.

    Args:
        mended: in the order in which they would be sent.
        present: the identities of events that are in the topic.
    """
    wanted = {one.event_id for one in mended}
    seen = {identity for identity in present if identity in wanted}
    marked = []
    for one in mended:
        marked.append(Mended(one.letter, one.event_id, one.key, one.value, duplicate=one.event_id in seen))
        seen.add(one.event_id)
    return marked


def identities(values: Iterable[bytes | None]) -> Iterator[str]:
    """The `event_id` of each message that has one."""
    start = b'{"event_id":"'
    for value in values:
        if value and value.startswith(start):
            # As `contracts.encode` writes it: no need to read the whole message.
            yield value[len(start) : len(start) + 32].decode(errors="replace")
        elif value:
            try:
                yield str(json.loads(value)["event_id"])
            except (ValueError, TypeError, KeyError):
                continue


def apply(
    mended: Sequence[Mended],
    publisher: Publisher,
    on_chunk: Callable[[int], None] = lambda _: None,
    clock: Callable[[], datetime] = now_utc,
) -> None:
    """Send what is no duplicate, and note of all that they are done with: both in one transaction.

    Args:
        mended: as `mark_duplicates` gives them.
        publisher: has taken over `SOURCE`.
        on_chunk: told after each transaction how many letters are done with.
        clock: what time it is.

    Raises:
        IngestError: the broker does not take them, or another replay has taken over.
    """
    for begin in range(0, len(mended), CHUNK):
        chunk = mended[begin : begin + CHUNK]
        fresh = [one for one in chunk if not one.duplicate]
        now = clock().isoformat(timespec="seconds")
        notes = [json.dumps({"event_id": one.event_id, "sent": not one.duplicate, "replayed_at": now}) for one in chunk]
        publisher.begin()
        try:
            publisher.send(RAW_EVENTS.name, _texts(one.key for one in fresh), _texts(one.value for one in fresh))
            publisher.send(REPLAYED.name, _texts(one.letter.place for one in chunk), _texts(notes))
        except BaseException:
            publisher.abort()
            raise
        publisher.commit()
        on_chunk(begin + len(chunk))


def _texts(values: Iterable[str]) -> pl.Series:
    return pl.Series(list(values), dtype=pl.String)


def finish(plan: Plan, marked: Sequence[Mended], applied: bool, began: float) -> ReplayReport:
    """The report of a plan whose duplicates are known."""
    report = plan.report
    report.applied = applied
    report.duplicates = sum(one.duplicate for one in marked)
    report.sent = len(marked) - report.duplicates
    report.seconds = round(time.perf_counter() - began, 3)
    return report
