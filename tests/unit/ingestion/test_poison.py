"""A hundred thousand messages that anybody could publish, through the reader of each topic."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from customer_profiles.contracts import (
    COLUMNS,
    DeadLetter,
    InvalidMessageError,
    InvalidMessages,
    Progress,
    Redriven,
    decode_dead_letter,
    decode_event,
    decode_progress,
    decode_redriven,
    encode,
)
from customer_profiles.contracts import messages as contract_messages
from customer_profiles.contracts.progress import NO_TOPIC
from customer_profiles.ingestion.dead_letters import (
    Selection,
    collect_dead_letters,
    export_dead_letters,
    read_corrections,
    summarise,
)
from customer_profiles.ingestion.present_events import present_event_ids
from customer_profiles.ingestion.progress import collect_progress
from customer_profiles.ingestion.redrive import (
    mark_duplicates,
    plan_corrections,
    plan_selection,
)
from customer_profiles.ingestion.validate import validate
from tests.poison import ENDLESS, Message, poison
from tests.support import line
from tests.unit.ingestion.memory_broker import stored, stored_pairs

pytestmark = pytest.mark.no_cover

MESSAGES = 100_000
EVENTS = [
    validate(text.encode(), COLUMNS, "f.csv", 1).accepted.row(0, named=True)
    for text in (line(), line(brand="l'oréal", category_code="", price="1.125"))
]
PRICE = DeadLetter("f.csv", 7, ["price_invalid"], line(price="x"), list(COLUMNS))
CUT = DeadLetter("f.csv", 8, ["line_too_long"], "a;b", ["a", "b"], "cut", separator=";")
LETTERS: list[Message] = [(b"f.csv", letter.to_json().encode()) for letter in (PRICE, CUT)]
NOW = "2026-11-23T12:00:00+00:00"
RECORDS: list[Message] = [
    (name.encode(), Progress(name, 10, "0" * 64, 1, 1, 0, 0, NOW).to_json().encode())
    for name in ("f.csv", "f.csv#2", "größe.csv")
]
REDRIVEN: list[Message] = [
    (b"0/7", Redriven("a" * 32, True, NOW).to_json().encode()),
    (b"0/123", Redriven("b" * 32, False, NOW).to_json().encode()),
]


@pytest.fixture(autouse=True)
def _all_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the places of all invalid messages, to compare them."""
    monkeypatch.setattr(contract_messages, "MAX_EXAMPLES", MESSAGES)


def offsets_of(invalid: InvalidMessages) -> list[int]:
    """Return the offsets of invalid messages, after a check of their places."""
    places = [example.partition(": ")[0].split("/") for example in invalid.examples]
    assert invalid.count == len(places)
    assert {tuple(place[:-1]) for place in places} == {(invalid.topic, "0")}
    return [int(place[-1]) for place in places]


def is_invalid(decode: Callable[[], object]) -> bool:
    try:
        decode()
    except InvalidMessageError:
        return True
    return False


def test_every_message_of_raw_events_is_an_event_or_invalid() -> None:
    values = [
        value for _, value in poison([(b"7", encode(event)) for event in EVENTS], MESSAGES, 1)
    ]
    candidates = {event["event_id"] for event in EVENTS}
    invalid = InvalidMessages("raw_events")
    present = list(present_event_ids(stored(values), candidates, invalid))
    assert set(present) == candidates
    assert len(present) > MESSAGES / 20
    bad = offsets_of(invalid)
    assert len(bad) > MESSAGES / 2
    assert all(is_invalid(partial(decode_event, values[offset])) for offset in bad[:10_000])


def test_every_dead_letter_is_listed_whatever_it_holds(tmp_path: Path) -> None:
    messages = list(poison(LETTERS, MESSAGES, 2))
    letters = collect_dead_letters([], stored_pairs(messages))
    bad = offsets_of(letters.invalid[1])
    assert MESSAGES / 2 < len(bad) < MESSAGES * 0.95
    assert [
        number
        for number, (_, value) in enumerate(messages[:10_000])
        if decode_dead_letter(value, number)[1] is not None
    ] == [offset for offset in bad if offset < 10_000]
    # A message that is no dead letter is one of its own. The others are there once for each row.
    listed = [one for one in letters.letters if one.content.reasons == ["no_dead_letter"]]
    assert {one.dead_letter_id for one in listed} == {f"0/{number}" for number in bad}
    assert summarise(letters.letters).open == len(letters.letters)
    sample = letters.letters[:2_000] + letters.letters[-2_000:]
    export_dead_letters(sample, tmp_path / "letters.csv")
    rows = read_corrections(tmp_path / "letters.csv")
    assert [row[0] for row in rows] == [one.dead_letter_id for one in sample]
    for plan in (plan_corrections(sample, rows), plan_selection(sample, Selection())):
        assert plan.report.selected == len(sample)
        assert plan.report.selected == plan.report.still_rejected + len(plan.corrected)
        mark_duplicates(plan.corrected, [])


def test_every_progress_record_counts_or_is_invalid() -> None:
    messages = list(poison(RECORDS, MESSAGES, 3))
    invalid = InvalidMessages("ingest_progress")
    records = collect_progress(stored_pairs(messages), invalid)
    bad = offsets_of(invalid)
    assert len(bad) > MESSAGES / 2
    assert [
        number
        for number, message in enumerate(messages[:10_000])
        if is_invalid(partial(decode_progress, *message))
    ] == [offset for offset in bad if offset < 10_000]
    good = [messages[number] for number in sorted({*range(MESSAGES)} - {*bad})]
    newest = dict(decode_progress(*one) for one in good)
    assert records == {source: record for source, record in newest.items() if record}


def numbered_letters(count: int) -> list[bytes]:
    return [replace(PRICE, source_row=row).to_json().encode() for row in range(count)]


def test_every_redriven_record_counts_or_is_invalid() -> None:
    messages = list(poison(REDRIVEN, MESSAGES, 4))
    letters = collect_dead_letters(stored_pairs(messages), stored(numbered_letters(8)))
    bad = offsets_of(letters.invalid[0])
    assert len(bad) > MESSAGES / 2
    assert [
        number
        for number, message in enumerate(messages[:10_000])
        if is_invalid(partial(decode_redriven, *message))
    ] == [offset for offset in bad if offset < 10_000]
    assert [one.replayed for one in letters.letters] == [False] * 7 + [True]


@pytest.mark.parametrize("value", [*ENDLESS, b"9" * 5_000, b"\xff", None])
def test_the_worst_messages_are_said_in_few_words(value: bytes | None) -> None:
    for decode in (decode_event, DeadLetter.from_json, Progress.from_json, Redriven.from_json):
        with pytest.raises(InvalidMessageError) as failure:
            decode(value)
        assert len(str(failure.value)) < 300


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("columns", 5),
        ("columns", ["a", 5]),
        ("columns", ["\ud800"]),
        ("source_row", 1e999),
        ("source_row", True),
        ("source_row", -1),
        ("source_row", 2**64),
        ("reasons", "price_invalid"),
        ("reasons", []),
        ("reasons", [["a"]]),
        ("reasons", ["a\x1b[2J"]),
        ("text", None),
        ("text", "\ud800"),
        ("source", 5),
        ("source", "\ud800"),
        ("detail", {"a": 1}),
        ("separator", ",,"),
        ("separator", '"'),
    ],
)
def test_a_letter_with_a_field_of_another_type_is_none(field: str, value: object) -> None:
    letter = {**json.loads(LETTERS[0][1] or b""), field: value}
    with pytest.raises(InvalidMessageError, match=rf"not a dead letter: {field} is "):
        DeadLetter.from_json(json.dumps(letter))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("source", "a\x1b]0;x\x07"),
        ("source", ""),
        ("source", "x" * 6_000),
        ("end", -1),
        ("end", "10"),
        ("end", 2**64),
        ("digest", "0" * 63),
        ("read", None),
        ("updated_at", "\x9b"),
    ],
)
def test_a_progress_record_with_a_wrong_field_is_none(field: str, value: object) -> None:
    record = {**json.loads(RECORDS[0][1] or b""), field: value}
    with pytest.raises(InvalidMessageError, match=rf"not a progress record: {field} is "):
        Progress.from_json(json.dumps(record))


def test_a_progress_record_may_have_further_fields() -> None:
    record = {**json.loads(RECORDS[0][1] or b""), "later": [1]}
    assert Progress.from_json(json.dumps(record)).source == "f.csv"


def test_a_progress_record_is_that_of_its_key_and_a_tombstone_deletes_it() -> None:
    (key, value), (other_key, other) = RECORDS[:2]
    invalid = InvalidMessages("ingest_progress")
    pairs = [(key, value), (other_key, other), (b"\xff", value), (b"f.csv", other), (key, b"[")]
    assert set(collect_progress(stored_pairs(pairs), invalid)) == {"f.csv", "f.csv#2"}
    assert invalid.count == 3
    assert set(collect_progress(stored_pairs([*pairs, (key, None)]), invalid)) == {"f.csv#2"}


def test_a_tombstone_opens_a_dead_letter_again() -> None:
    key, value = b"0/0", REDRIVEN[0][1]
    letters = stored([LETTERS[0][1]])
    for pairs, replayed in (([(key, value)], True), ([(key, value), (key, None)], False)):
        assert collect_dead_letters(stored_pairs(pairs), letters).letters[0].replayed == replayed


PRODUCED = datetime.fromtimestamp(1_790_000_000, UTC)
"""When the messages of `stored` were produced."""


@pytest.mark.parametrize(
    ("record_topic", "letters_topic", "minutes_later", "replayed"),
    [
        ("t1", "t1", 10, True),
        ("t1", "t2", 10, False),
        # The clock of whoever redrives may be behind; the topic says enough.
        ("t1", "t1", -60, True),
        # Old versions did not note the topic, and some brokers have no ids.
        (None, "t2", 10, True),
        (None, "t2", -1, True),
        (None, "t2", -60, False),
        ("t1", None, 10, True),
        ("t1", None, -60, False),
        # Its event was lost before anybody read it.
        (NO_TOPIC, "t1", 10, False),
        (NO_TOPIC, None, 10, False),
    ],
)
def test_a_record_about_a_letter_of_an_earlier_topic_does_not_count(
    record_topic: str | None, letters_topic: str | None, minutes_later: int, *, replayed: bool
) -> None:
    at = (PRODUCED + timedelta(minutes=minutes_later)).isoformat()
    record = Redriven("a" * 32, True, at, record_topic).to_json().encode()
    letters = collect_dead_letters(
        stored_pairs([(b"0/0", record)]), stored([LETTERS[0][1]]), letters_topic
    )
    assert letters.letters[0].replayed == replayed


@pytest.mark.parametrize("time", ["", "yesterday", "2026-11-23T12:00:00", "9999-12-31T23:59:59Z"])
def test_a_record_of_any_time_counts_or_not_and_stops_nothing(time: str) -> None:
    record = Redriven("a" * 32, True, time).to_json().encode()
    assert (
        collect_dead_letters(stored_pairs([(b"0/0", record)]), stored([LETTERS[0][1]]), "t1")
        .letters[0]
        .replayed
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [("topic_id", "x" * 65), ("topic_id", 5), ("source", "a\x1b"), ("source_row", -1), ("sent", 1)],
)
def test_a_redriven_record_with_a_wrong_field_is_none(field: str, value: object) -> None:
    record = {**json.loads(REDRIVEN[0][1] or b""), field: value}
    with pytest.raises(InvalidMessageError, match=rf"not a redriven record: {field} is "):
        Redriven.from_json(json.dumps(record))


def test_what_cannot_be_read_is_said_once_with_its_place() -> None:
    invalid = InvalidMessages("ingest_progress")
    collect_progress(stored_pairs([RECORDS[0], (b"a", b"{"), (b"b", b"[]")]), invalid)
    assert str(invalid) == (
        "2 messages in ingest_progress without a meaning; the first is "
        "ingest_progress/0/1: not JSON: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)"
    )


def test_a_letter_whose_text_looks_like_a_header_ends_no_redrive() -> None:
    letter = replace(PRICE, text=",".join(reversed(COLUMNS))).to_json().encode()
    letters = collect_dead_letters([], stored([letter])).letters
    assert plan_selection(letters, Selection()).report.reasons == {"repeated_header": 1}


@pytest.mark.parametrize("changes", [{"source_row": 0}, {"source_row": 10**15}, {"source": ""}])
def test_a_letter_whose_place_is_not_that_of_a_row_is_never_sent(changes: dict[str, Any]) -> None:
    letter = replace(PRICE, text=line(), **changes).to_json().encode()
    plan = plan_selection(collect_dead_letters([], stored([letter])).letters, Selection())
    assert not plan.corrected
    assert plan.report.reasons == {"not_a_row": 1}
