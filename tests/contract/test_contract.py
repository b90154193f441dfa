"""The contract is consistent: its rules, schema, examples and codec agree."""

from __future__ import annotations

import json
import zlib
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customer_profiles.contracts import (
    COLUMNS,
    MESSAGE_FIELDS,
    RAW_EVENTS,
    InvalidMessageError,
    Reason,
    bucket_of,
    check,
    decode,
    encode,
    event_id,
)
from customer_profiles.contracts.rules import canonical_price, canonical_time, category_root
from tests.support import row

CONTRACT = files("customer_profiles.contracts")
SCHEMA = json.loads(CONTRACT.joinpath("schemas/raw_event.v1.json").read_text())
VALID = sorted(CONTRACT.joinpath("examples/valid").iterdir(), key=lambda file: file.name)
INVALID = sorted(CONTRACT.joinpath("examples/invalid").iterdir(), key=lambda file: file.name)


@pytest.mark.parametrize("file", VALID, ids=lambda file: file.name)
def test_a_valid_example_satisfies_schema_codec_and_rules(file: Any) -> None:
    message = json.loads(file.read_text())
    jsonschema.validate(message, SCHEMA)
    decoded = decode(file.read_bytes())
    assert decode(encode(decoded)) == decoded
    assert check(decoded) == ({column: message[column] for column in COLUMNS}, [])
    assert event_id(message) == message["event_id"]
    assert category_root(message["category_code"]) == message["category_root"]


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.name)
def test_an_invalid_example_is_rejected(file: Any) -> None:
    message = json.loads(file.read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(message, SCHEMA)
    try:
        canonical, reasons = check(decode(file.read_bytes()))
    except InvalidMessageError:
        return
    assert reasons or canonical != {column: message[column] for column in COLUMNS}


def test_schema_and_code_name_the_same_fields() -> None:
    assert tuple(SCHEMA["properties"]) == MESSAGE_FIELDS
    assert SCHEMA["required"] == list(MESSAGE_FIELDS)


def test_an_event_id_never_changes() -> None:
    assert (
        event_id({**row(event_time="2020-09-24T11:57:06Z"), "brand": None})
        == "206352166fb665cf895e8031b0b03683"
    )


def test_a_bucket_never_changes() -> None:
    assert zlib.crc32(b"1515915625519388267") == 702577059
    assert bucket_of("1515915625519388267", 16) == 702577059 % 16


def test_the_topic_of_events_never_changes() -> None:
    assert (RAW_EVENTS.name, RAW_EVENTS.partitions) == ("raw_events", 3)


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({}, []),
        ({"brand": "", "category_code": "", "category_id": ""}, []),
        ({"event_time": ""}, [Reason.EVENT_TIME_MISSING]),
        ({"event_time": "yesterday"}, [Reason.EVENT_TIME_INVALID]),
        ({"event_time": "2020-02-30 00:00:00 UTC"}, [Reason.EVENT_TIME_INVALID]),
        ({"event_type": ""}, [Reason.EVENT_TYPE_MISSING]),
        ({"event_type": "wishlist"}, [Reason.EVENT_TYPE_UNKNOWN]),
        ({"product_id": ""}, [Reason.PRODUCT_ID_MISSING]),
        ({"product_id": "12a"}, [Reason.PRODUCT_ID_NOT_INTEGER]),
        ({"product_id": "1996170.0"}, [Reason.PRODUCT_ID_MANGLED]),
        ({"category_id": "2.10381E+18"}, [Reason.CATEGORY_ID_MANGLED]),
        ({"category_id": "tv"}, [Reason.CATEGORY_ID_NOT_INTEGER]),
        ({"price": ""}, [Reason.PRICE_MISSING]),
        ({"price": "-1.00"}, [Reason.PRICE_NEGATIVE]),
        ({"price": "12,50"}, [Reason.PRICE_INVALID]),
        ({"price": "31.900000001"}, [Reason.PRICE_INVALID]),
        ({"price": "NaN"}, [Reason.PRICE_INVALID]),
        ({"user_id": ""}, [Reason.USER_ID_MISSING]),
        ({"user_id": "1.51592E+18"}, [Reason.USER_ID_MANGLED]),
        ({"user_id": "-7"}, [Reason.USER_ID_NOT_INTEGER]),
        ({"user_id": "123456789012345678901"}, [Reason.USER_ID_NOT_INTEGER]),
        ({"user_session": "  "}, [Reason.USER_SESSION_MISSING]),
        ({"brand": "a\x1fb"}, [Reason.CONTROL_CHARACTER]),
        (
            {"price": "free", "user_session": ""},
            [Reason.PRICE_INVALID, Reason.USER_SESSION_MISSING],
        ),
    ],
    ids=str,
)
def test_a_row_keeps_all_of_its_reasons(changes: dict[str, str], reasons: list[Reason]) -> None:
    assert check(row(**changes))[1] == reasons


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2020-09-24 11:57:06 UTC", "2020-09-24T11:57:06Z"),
        ("2020-09-24T11:57:06Z", "2020-09-24T11:57:06Z"),
        ("2020-09-24T13:57:06+02:00", "2020-09-24T11:57:06Z"),
        ("2020-09-24 11:57:06.250 UTC", "2020-09-24T11:57:06.25Z"),
        ("2020-09-24 11:57:06", "2020-09-24T11:57:06Z"),
        ("2020-09-24", None),
        ("24.09.2020 11:57:06", None),
        ("0001-01-01T00:00:00+02:00", None),
    ],
)
def test_a_time_has_one_canonical_form(text: str, canonical: str | None) -> None:
    assert canonical_time(text) == canonical


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("31.90", "31.90"),
        ("31.9", "31.90"),
        ("31", "31.00"),
        ("031.9000", "31.90"),
        ("0", "0.00"),
        ("1.125", "1.125"),
    ],
)
def test_a_price_has_one_canonical_form(text: str, canonical: str) -> None:
    assert canonical_price(text) == canonical


@pytest.mark.parametrize(
    ("category_code", "root"),
    [
        ("electronics.telephone", "electronics"),
        ("electronics.audio.headphone", "electronics"),
        ("electronics", "electronics"),
        ("electronics.", "electronics"),
        (".foo", None),
        (".", None),
        ("", None),
        (None, None),
    ],
)
def test_the_category_root_is_the_top_level_of_the_code(
    category_code: str | None, root: str | None
) -> None:
    assert category_root(category_code) == root


@given(st.fixed_dictionaries({column: st.text(max_size=30) for column in COLUMNS}))
def test_an_accepted_row_is_canonical(values: dict[str, str]) -> None:
    canonical, reasons = check(values)
    if not reasons:
        assert check(canonical) == (canonical, [])


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{", b"\xff", b'{"schema_version": true}'])
def test_data_that_is_not_a_message_is_rejected(data: bytes) -> None:
    with pytest.raises(InvalidMessageError):
        decode(data)
