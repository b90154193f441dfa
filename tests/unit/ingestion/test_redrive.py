"""Dead letters are counted, exported, mended and sent again, each at most once."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import COLUMNS, DeadLetter, InvalidMessages, decode, encode
from customer_profiles.ingestion.dead_letters import (
    EXPORT_COLUMNS,
    Selection,
    StoredDeadLetter,
    export_dead_letters,
    read_corrections,
    summarise,
)
from customer_profiles.ingestion.present_events import present_event_ids
from customer_profiles.ingestion.redrive import (
    mark_duplicates,
    plan_corrections,
    plan_selection,
    send_corrected,
)
from customer_profiles.ingestion.validate import validate
from tests.support import line
from tests.unit.ingestion.memory_broker import MemoryBroker, stored


def letter(
    place: str,
    text: str,
    *,
    columns: tuple[str, ...] | None = COLUMNS,
    replayed: bool = False,
    source: str = "f.csv",
) -> StoredDeadLetter:
    reasons = validate(text.encode(), COLUMNS, "f.csv", 1).rejected["reasons"].to_list()
    content = DeadLetter(source, int(place[2:]) + 1, reasons[0] if reasons else ["old_rule"], text)
    content = (
        DeadLetter.from_json(content.to_json()) if columns is None else _with(content, columns)
    )
    return StoredDeadLetter(place, datetime(2026, 11, 23, 12, tzinfo=UTC), content, replayed)


def _with(content: DeadLetter, columns: tuple[str, ...]) -> DeadLetter:
    return DeadLetter(
        content.source, content.source_row, content.reasons, content.text, list(columns)
    )


def _with_reason(place: str, text: str, reason: str) -> StoredDeadLetter:
    content = DeadLetter("f.csv", 1, [reason], text, list(COLUMNS))
    return StoredDeadLetter(place, datetime(2026, 11, 23, tzinfo=UTC), content, replayed=False)


LETTERS = [
    letter("0/0", line(user_session="")),
    letter("0/1", line(price="free", user_session="")),
    letter("0/2", line(brand='"apple')),
    letter("0/3", line(price="-1"), replayed=True),
    letter("0/4", line(user_id="8"), source="g.csv"),
]


def test_letters_are_counted_by_reason_source_and_day() -> None:
    overview = summarise(LETTERS)
    assert (overview.open, overview.replayed) == (4, 1)
    assert overview.by_reason == {
        "user_session_missing": 2,
        "price_invalid": 1,
        "bad_quotes": 1,
        "old_rule": 1,
    }
    assert overview.by_source == {"f.csv": 3, "g.csv": 1}
    assert overview.by_day == {"2026-11-23": 4}
    assert overview.examples["bad_quotes"].dead_letter_id == "0/2"


@pytest.mark.parametrize(
    ("selection", "places"),
    [
        (Selection(), ["0/0", "0/1", "0/2", "0/3", "0/4"]),
        (Selection(reason="user_session_missing"), ["0/0", "0/1"]),
        (Selection(source="g.csv"), ["0/4"]),
        (Selection(since=datetime(2026, 11, 24, tzinfo=UTC)), []),
    ],
)
def test_letters_are_selected(selection: Selection, places: list[str]) -> None:
    assert [one.dead_letter_id for one in LETTERS if selection.matches(one)] == places


def test_an_export_is_mended_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "letters.csv"
    export_dead_letters(LETTERS, path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == EXPORT_COLUMNS
    assert (rows[1]["reasons"], rows[1]["price"]) == ("price_invalid user_session_missing", "free")
    # A line that cannot be split has its text alone.
    assert (rows[2]["price"], rows[2]["text"]) == ("", line(brand='"apple'))
    assert read_corrections(path)[1][0] == "0/1"
    assert read_corrections(path)[1][1]["price"] == "free"


def test_a_file_that_is_no_export_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "letters.csv"
    path.write_text("user_id\n7\n")
    with pytest.raises(PipelineError, match=r"lacks letter, event_time.*(?s:.)*EXPORT"):
        read_corrections(path)
    with pytest.raises(PipelineError, match="cannot be read"):
        read_corrections(tmp_path / "nowhere.csv")


def mended(**changes: str) -> dict[str, str]:
    return dict(zip(COLUMNS, line(**changes).split(","), strict=True))


def test_mended_rows_become_the_events_that_they_should_have_been() -> None:
    plan = plan_corrections(LETTERS, [("0/0", mended(user_session="abc"))])
    (one,) = plan.corrected
    straight = validate(line(user_session="abc").encode(), COLUMNS, "f.csv", 1).accepted.row(
        0, named=True
    )
    assert decode(one.value.encode()) == straight
    assert one.key == straight["user_id"]


def test_every_letter_that_is_selected_ends_in_one_place() -> None:
    rows = [
        ("0/0", mended(user_session="abc")),
        ("0/0", mended(user_session="again")),
        ("0/1", mended(price="free", user_session="abc")),
        ("0/3", mended(price="1")),
        ("0/4", mended(user_session="abc")),
        ("9/9", mended()),
    ]
    plan = plan_corrections(LETTERS, rows)
    marked = mark_duplicates(plan.corrected, [])
    assert [one.duplicate for one in marked] == [False, True]
    report = plan.report
    assert (report.selected, report.unknown, report.already_replayed, report.still_rejected) == (
        6,
        2,
        1,
        1,
    )
    assert report.reasons == {"price_invalid": 1}


def exported(letters: list[StoredDeadLetter], path: Path) -> list[tuple[str, dict[str, str]]]:
    export_dead_letters(letters, path)
    return read_corrections(path)


UNMENDED = [
    letter("0/0", line(user_session="")),
    letter("0/1", line(brand='"apple')),
    letter("0/2", line(brand="x" * 70_000)),
    letter("0/3", line(user_id="8")),
    letter("0/4", line() + ",more"),
    letter("0/5", ",".join(COLUMNS)),
    _with_reason("0/6", line(brand="l'or\\xe9al"), "not_utf8"),
]


def test_an_export_that_was_not_corrected_stays_rejected_for_its_reasons(tmp_path: Path) -> None:
    plan = plan_corrections(UNMENDED, exported(UNMENDED, tmp_path / "letters.csv"))
    assert not plan.corrected
    assert plan.report.still_rejected == len(UNMENDED)
    assert plan.report.reasons == {
        "user_session_missing": 1,
        "bad_quotes": 1,
        "line_too_long": 1,
        "old_rule": 1,
        "wrong_field_count": 1,
        "repeated_header": 1,
        "not_utf8": 1,
    }


@pytest.mark.parametrize(
    ("number", "changes", "reasons"),
    [
        (2, {"price": "1.00"}, {"line_too_long": 1}),
        (2, {"brand": "x"}, {}),
        (6, {"price": "1.00"}, {"not_utf8": 1}),
        (6, {"brand": "l'oréal"}, {}),
        (6, {"brand": ""}, {}),
        (3, {"price": ".99"}, {}),
    ],
)
def test_a_correction_has_to_mend_what_was_wrong(
    tmp_path: Path, number: int, changes: dict[str, str], reasons: dict[str, int]
) -> None:
    (row,) = exported([UNMENDED[number]], tmp_path / "letters.csv")
    plan = plan_corrections(UNMENDED, [(row[0], {**row[1], **changes})])
    assert plan.report.reasons == reasons
    assert len(plan.corrected) == (not reasons)


def test_a_letter_keeps_the_separator_of_its_source() -> None:
    text = line(user_session="").replace(",", ";")
    content = DeadLetter("f.csv", 1, ["user_session_missing"], text, list(COLUMNS), separator=";")
    stored = StoredDeadLetter(
        "0/0",
        datetime(2026, 11, 23, tzinfo=UTC),
        DeadLetter.from_json(content.to_json()),
        replayed=False,
    )
    plan = plan_selection([stored], Selection())
    assert plan.report.reasons == {"user_session_missing": 1}
    mended_row = {**mended(), "user_session": "a"}
    assert len(plan_corrections([stored], [("0/0", mended_row)]).corrected) == 1


def test_all_letters_of_a_reason_are_checked_by_the_rules_of_today() -> None:
    plan = plan_selection(LETTERS, Selection(reason="old_rule"))
    assert [one.letter.dead_letter_id for one in plan.corrected] == ["0/4"]
    plan = plan_selection(LETTERS, Selection(reason="user_session_missing"))
    assert not plan.corrected
    assert plan.report.reasons == {"user_session_missing": 2, "price_invalid": 1}


def test_what_is_no_row_or_has_lost_its_bytes_is_not_sent() -> None:
    message = letter("0/7", line(), columns=None)
    plan = plan_selection([message], Selection())
    assert plan.report.reasons == {"not_a_row": 1}
    lost = DeadLetter("f.csv", 1, ["not_utf8"], line(brand="caf\\xe9"), list(COLUMNS))
    plan = plan_selection(
        [StoredDeadLetter("0/8", message.time, lost, replayed=False)], Selection()
    )
    assert plan.report.reasons == {"not_utf8": 1}


def test_columns_of_the_source_are_those_of_its_letters() -> None:
    columns = tuple(reversed(COLUMNS))
    text = ",".join(reversed(line().split(",")))
    plan = plan_selection([_letter_with_columns(text, columns)], Selection())
    assert json.loads(plan.corrected[0].value)["user_id"] == mended()["user_id"]


def _letter_with_columns(text: str, columns: tuple[str, ...]) -> StoredDeadLetter:
    content = DeadLetter("f.csv", 1, ["old_rule"], text, list(columns))
    return StoredDeadLetter("0/0", datetime(2026, 11, 23, tzinfo=UTC), content, replayed=False)


def test_an_event_that_is_in_already_is_not_sent_but_done_with() -> None:
    plan = plan_corrections(
        LETTERS, [("0/0", mended(user_session="a")), ("0/1", mended(user_session="b"))]
    )
    marked = mark_duplicates(plan.corrected, [plan.corrected[0].event_id])
    broker = MemoryBroker()
    send_corrected(marked, broker)
    assert [json.loads(value)["user_session"] for _, value in broker.topics["raw_events"]] == ["b"]
    notes = {
        place: json.loads(value)["sent"] for place, value in broker.topics["raw_events_replayed"]
    }
    assert notes == {"0/0": False, "0/1": True}


def test_identities_are_read_from_messages_of_any_writer() -> None:
    event = validate(line().encode(), COLUMNS, "f.csv", 1).accepted.row(0, named=True)
    other = validate(line(brand="x").encode(), COLUMNS, "f.csv", 1).accepted.row(0, named=True)
    reversed_fields = json.dumps(dict(reversed(other.items()))).encode()
    values = [encode(event), reversed_fields]
    candidates = {event["event_id"], other["event_id"]}
    invalid = InvalidMessages("raw_events")
    assert set(present_event_ids(stored(values), candidates, invalid)) == candidates
    assert invalid.count == 0


def test_a_message_that_is_no_event_does_not_stand_for_one() -> None:
    event = validate(line().encode(), COLUMNS, "f.csv", 1).accepted.row(0, named=True)
    prefix = b'{"event_id":"' + event["event_id"].encode()
    poison = [
        *(None, b"", b"no json", b"[]", b"[" * 100_000, b"\xff", b'{"event_id": 5}'),
        *(prefix, prefix + b'"}', encode({**event, "price": "free"})),
        encode({**event, "event_id": "f" * 32}),
    ]
    invalid = InvalidMessages("raw_events")
    assert not list(present_event_ids(stored(poison), {event["event_id"]}, invalid))
    # The last one is an event, and none of the candidates.
    assert invalid.count == len(poison) - 1
    assert invalid.examples[0] == "raw_events/0/0: it has no value"
