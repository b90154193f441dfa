"""Parsing messages: each becomes the row of an event or an invalid message."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from customer_profiles.contracts import COLUMNS, DeadLetter, bucket_of, encode, event_id
from customer_profiles.lake.events import EVENT_SCHEMA
from customer_profiles.processing import parse as parse_module
from customer_profiles.processing.parse import _parse_one_by_one, _typed, bucket_numbers, parse
from customer_profiles.processing.tasks.land import MAX_CUT_CHARACTERS, _dead_letter
from tests.poison import poison


def message(**changes: Any) -> dict[str, Any]:
    values = {
        "event_time": "2020-09-24T11:57:06Z",
        "event_type": "view",
        "product_id": "1996170",
        "category_id": "2144415922528452715",
        "category_code": "electronics.telephone",
        "brand": None,
        "price": "31.90",
        "user_id": "1515915625519388267",
        "user_session": "LJuJVLEjPT",
        **changes,
    }
    extra = {
        "category_root": "electronics",
        "schema_version": 1,
        "source": "f.csv",
        "source_row": 5,
        **changes,
    }
    return {
        "event_id": event_id({name: str(values[name] or "") for name in COLUMNS}),
        **values,
        **extra,
    }


GOOD = encode(message())


def test_a_message_becomes_a_typed_row() -> None:
    rows, invalid = parse([GOOD], 2, [41])
    assert invalid == []
    assert rows.schema == pl.Schema(EVENT_SCHEMA)
    row = rows.row(0, named=True)
    assert row["event_time"] == datetime(2020, 9, 24, 11, 57, 6, tzinfo=UTC)
    assert row["price"] == Decimal("31.9000")
    assert (row["user_id"], row["brand"]) == ("1515915625519388267", None)
    assert (row["source_row"], row["kafka_partition"], row["kafka_offset"]) == (5, 2, 41)


@pytest.mark.parametrize(
    "bad",
    [
        None,
        b"",
        b"hello",
        b"{}",
        b"[1]",
        b"\xff\xfe",
        GOOD[:-10],
        GOOD + b"\n" + GOOD,
        GOOD.replace(b'"31.90"', b"31.90"),
        GOOD.replace(b'"31.90"', b'"-31.90"'),
        GOOD.replace(b'"31.90"', b'"free"'),
        GOOD.replace(b'"view"', b'"wishlist"'),
        GOOD.replace(b'"1515915625519388267"', b"1515915625519388267"),
        GOOD.replace(b"2020-09-24T", b"2020-13-24T"),
        GOOD.replace(b'"schema_version":1', b'"schema_version":2'),
        GOOD.replace(b'"LJuJVLEjPT"', b"null"),
        GOOD.replace(b'"LJuJVLEjPT"', b'""'),
        GOOD.replace(b'"LJuJVLEjPT"', b'"a\x01"'),
        GOOD.replace(b'"source_row":5', b'"source_row":05'),
        GOOD.replace(b'"1515915625519388267"', b'"15159156255193882671515"'),
        GOOD.replace(b'"event_id":"', b'"event_id":"0'),
        GOOD.replace(b'"source_row":5', b'"source_row":0'),
        GOOD.replace(b'"source_row":5', b'"source_row":' + b"9" * 30),
        GOOD.replace(b'"LJuJVLEjPT"', rb'"\ud800"'),
        GOOD.replace(b'"f.csv"', b'""'),
        GOOD.replace(b'"source_row":5', b'"source_row":1e999'),
        GOOD.replace(b'"source_row":5', b'"source_row":' + b"9" * 5000),
        GOOD.replace(b'"source_row":5', b'"source_row":5,"new":' + b"[" * 10**5 + b"]" * 10**5),
        b"[" * 10**5,
    ],
    ids=lambda value: str(value)[:50],
)
def test_an_invalid_message_does_not_affect_the_messages_around_it(bad: bytes | None) -> None:
    rows, invalid = parse([GOOD, bad, GOOD], 1, [10, 12, 15])
    assert rows["kafka_offset"].to_list() == [10, 15]
    (message,) = invalid
    assert (message.partition, message.offset) == (1, 12)
    assert message.reason


def test_a_message_that_has_no_row_is_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the contract accepts and a column does not, stops nothing."""
    values = [b"{%d}" % number for number in range(7)]

    def decode_event(value: bytes) -> dict[str, Any]:
        return message(source_row=2**64 if value == b"{4}" else 5)

    monkeypatch.setattr(parse_module, "decode_event", decode_event)
    rows, invalid = parse(values, 1, list(range(7)))
    assert rows["kafka_offset"].to_list() == [0, 1, 2, 3, 5, 6]
    assert rows.schema == pl.Schema(EVENT_SCHEMA)
    (unreadable,) = invalid
    assert (unreadable.partition, unreadable.offset, unreadable.text) == (1, 4, "{4}")
    assert unreadable.reason.startswith("it cannot be read (")


@pytest.mark.parametrize("escaped", [False, True])
def test_times_and_prices_at_the_limits_keep_their_value(escaped: bool) -> None:
    times = {
        "0001-01-01T00:00:00Z": datetime(1, 1, 1, tzinfo=UTC),
        "1969-12-31T23:59:59.999999Z": datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        "9999-12-31T23:59:59.999999Z": datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    }
    brand = '"' if escaped else "x"
    price = "999999999999.9999"
    values = [encode(message(event_time=time, brand=brand, price=price)) for time in times]
    rows, invalid = parse(values, 0, [0, 1, 2])
    assert invalid == []
    assert rows["event_time"].to_list() == list(times.values())
    assert rows["price"].to_list() == 3 * [Decimal(price)]


@pytest.mark.parametrize("content", [b"\xff", b"\x01", b'"', "\U0001f600".encode(), b"[", b"9"])
def test_the_dead_letter_of_a_large_message_fits_into_a_message(content: bytes) -> None:
    value = content * (10**6 // len(content))
    _, (invalid,) = parse([value], 1, [7])
    key, text = _dead_letter(invalid)
    assert key == "raw_events/1/7"
    assert len(text.encode()) < 10**6
    letter = DeadLetter.from_json(text)
    assert invalid.text.startswith(letter.text)
    assert len(letter.text) >= min(MAX_CUT_CHARACTERS, len(invalid.text))
    assert "cut after 100,000 characters" in str(letter.detail)


def test_parsing_one_by_one_gives_the_same_rows_as_parsing_all_at_once() -> None:
    values = [
        encode(message(brand='é\\"x')),
        encode(message(event_time="2020-09-24T11:57:06.25Z", price="1.125")),
        GOOD,
    ]
    all_at_once, _ = parse(values, 0, [0, 1, 2])
    one_by_one = [_parse_one_by_one([value], 0, [offset]) for offset, value in enumerate(values)]
    assert [invalid for _, invalid in one_by_one] == [[], [], []]
    assert all_at_once["event_time"].dt.microsecond().to_list() == [0, 250_000, 0]
    assert pl.concat(_typed(rows, 0) for rows, _ in one_by_one).equals(all_at_once)


def test_rows_stay_in_the_order_of_their_messages() -> None:
    """Messages with escapes are parsed one by one and returned between the others."""
    rows, invalid = parse(
        [GOOD, encode(message(brand='7" \\')), GOOD, b"no", GOOD], 0, [3, 4, 6, 8, 9]
    )
    assert rows["kafka_offset"].to_list() == [3, 4, 6, 9]
    assert rows["brand"].to_list() == [None, '7" \\', None, None]
    assert [invalid_message.offset for invalid_message in invalid] == [8]


def test_unknown_fields_are_accepted() -> None:
    rows, invalid = parse([GOOD.replace(b'"source_row":5', b'"source_row":5,"new":[1]')], 0, [0])
    assert (rows.height, invalid) == (1, [])


def test_the_buckets_of_a_column_agree_with_the_contract() -> None:
    ids = [str(number) for number in range(100)]
    assert bucket_numbers(pl.Series(ids), 16).to_list() == [bucket_of(user, 16) for user in ids]


@pytest.mark.no_cover
def test_a_hundred_thousand_messages_of_strangers_are_events_or_invalid() -> None:
    valid = [message(), message(brand="l'oréal", price="1.125"), message(category_code=None)]
    messages = [value for _, value in poison([(b"7", encode(one)) for one in valid], 100_000, 5)]
    events, invalid = 0, 0
    for start in range(0, len(messages), 10_000):
        offsets = list(range(start, start + 10_000))
        rows, unreadable = parse(messages[start : start + 10_000], 1, offsets)
        assert rows.schema == pl.Schema(EVENT_SCHEMA)
        places = [*rows["kafka_offset"].to_list(), *(one.offset for one in unreadable)]
        assert sorted(places) == offsets
        assert {one.partition for one in unreadable} == {1}
        # Each can be stored and sent as a dead letter.
        assert all((one.reason + one.text).encode() for one in unreadable)
        events += rows.height
        invalid += len(unreadable)
    assert events > 5_000
    assert invalid > 50_000
