"""The JSON Schema, the rules and the patterns of the vectorised paths accept the same messages."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customer_profiles.contracts import (
    COLUMNS,
    EVENT_TYPES,
    MESSAGE_FIELDS,
    OPTIONAL_FIELDS,
    SCHEMA_VERSION,
    canonical_time,
    category_root,
    check,
    decode,
    encode,
    event_id,
)
from customer_profiles.contracts.limits import MAX_SOURCE_ROW
from customer_profiles.contracts.rules import (
    MESSAGE_LENGTHS,
    MESSAGE_PATTERNS,
    PLAIN_INTEGER,
    PLAIN_PRICE,
    PLAIN_TEXT,
    PLAIN_TIME,
)
from tests.support import row

SCHEMA = json.loads(
    files("customer_profiles.contracts").joinpath("schemas/raw_event.v1.json").read_text()
)
INTEGERS = ("schema_version", "source_row")
TEXTS = ("category_code", "brand", "user_session", "category_root", "source")
EXACT = tuple(name for name in MESSAGE_FIELDS if name not in (*INTEGERS, *TEXTS, "event_time"))
"""Fields whose schema accepts exactly the texts that their pattern and lengths accept."""

canonical_texts = st.text("abz019-.:TZ", min_size=1, max_size=34)
TYPICAL_VALUES: dict[str, st.SearchStrategy[str]] = {
    "event_time": st.datetimes().map(str) | st.just("2020-09-24T13:57:06.250+02:00"),
    "event_type": st.sampled_from([*EVENT_TYPES, "View"]),
    "product_id": st.from_regex(r"\A[0-9]{1,21}\Z"),
    "category_id": st.from_regex(r"\A[0-9]{0,20}\Z"),
    "category_code": st.text("abé.", max_size=9),
    "brand": st.text(max_size=9),
    "price": st.decimals(0, 10**13, places=5).map(lambda price: f"{price:.3f}") | st.just("007.5"),
    "user_id": st.from_regex(r"\A[0-9]{1,20}\Z"),
    "user_session": st.text(min_size=1, max_size=9),
}


def schema_accepts(name: str, value: Any) -> bool:
    schema = {**SCHEMA["properties"][name], "$defs": SCHEMA["$defs"]}
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


def pattern_accepts(name: str, text: str) -> bool:
    shortest, longest = MESSAGE_LENGTHS.get(name, (0, 2**31))
    return (
        re.fullmatch(MESSAGE_PATTERNS[name], text) is not None
        and shortest <= len(text.encode()) <= longest
    )


def schema_pattern(name: str) -> str | None:
    schema = SCHEMA["properties"][name]
    candidates = [schema, *schema.get("anyOf", [])]
    candidates += [SCHEMA["$defs"]["id"] for part in candidates if part.get("$ref") == "#/$defs/id"]
    return next((part["pattern"] for part in candidates if "pattern" in part), None)


def test_every_field_has_a_pattern() -> None:
    assert set(MESSAGE_PATTERNS) == set(MESSAGE_FIELDS)
    assert set(MESSAGE_LENGTHS) < set(MESSAGE_FIELDS)


def test_the_schema_has_the_enumerations_and_bounds_of_the_rules() -> None:
    properties = SCHEMA["properties"]
    assert properties["event_type"]["enum"] == list(EVENT_TYPES)
    assert properties["schema_version"]["const"] == SCHEMA_VERSION
    assert properties["source_row"]["minimum"] == 1
    assert properties["source_row"]["maximum"] == MAX_SOURCE_ROW


def test_the_schema_allows_null_in_the_optional_fields_only() -> None:
    assert {name for name in MESSAGE_FIELDS if schema_accepts(name, None)} == OPTIONAL_FIELDS


@pytest.mark.parametrize("name", EXACT)
@given(data=st.data())
def test_schema_and_pattern_accept_the_same_texts(name: str, data: st.DataObject) -> None:
    sources = [canonical_texts, st.from_regex(MESSAGE_PATTERNS[name], fullmatch=True)]
    if pattern := schema_pattern(name):
        sources.append(st.from_regex(pattern, fullmatch=True))
    text = data.draw(st.one_of(sources))
    assert schema_accepts(name, text) == pattern_accepts(name, text)


@pytest.mark.parametrize("name", TEXTS)
@given(text=st.text(max_size=9))
def test_a_text_without_escapes_satisfies_schema_and_pattern(name: str, text: str) -> None:
    if pattern_accepts(name, text):
        assert schema_accepts(name, text)
    elif schema_accepts(name, text):
        # The schema accepts text that JSON has to escape; the vectorised path does not.
        assert re.search(r'["\\\x00-\x1f]', text)


@given(number=st.integers(-2, 10**16) | st.sampled_from([1, MAX_SOURCE_ROW, MAX_SOURCE_ROW + 1]))
def test_schema_and_pattern_accept_the_same_row_numbers(number: int) -> None:
    assert schema_accepts("source_row", number) == pattern_accepts("source_row", str(number))


@given(text=st.from_regex(schema_pattern("event_time") or "", fullmatch=True))
def test_a_time_that_satisfies_the_schema_is_canonical_if_it_exists(text: str) -> None:
    assert pattern_accepts("event_time", text)
    canonical = canonical_time(text)
    if canonical is not None:
        assert canonical == re.sub(r"\.?0*Z$", "Z", text) if "." in text else canonical == text


@given(st.fixed_dictionaries(TYPICAL_VALUES))
def test_an_accepted_row_satisfies_schema_patterns_and_codec(values: dict[str, str]) -> None:
    canonical, reasons = check(values)
    if reasons:
        return
    message = {
        "event_id": event_id(canonical),
        **canonical,
        "category_root": category_root(canonical["category_code"]),
        "schema_version": SCHEMA_VERSION,
        "source": "events.csv",
        "source_row": 1,
    }
    jsonschema.validate(message, SCHEMA)
    assert decode(encode(message)) == message
    for name, value in message.items():
        if name not in TEXTS and value is not None:
            assert pattern_accepts(name, str(value))


PLAIN = {
    "event_time": PLAIN_TIME,
    "product_id": PLAIN_INTEGER,
    "category_id": PLAIN_INTEGER,
    "user_id": PLAIN_INTEGER,
    "price": PLAIN_PRICE,
    "category_code": PLAIN_TEXT,
    "brand": PLAIN_TEXT,
    "user_session": PLAIN_TEXT,
}


@pytest.mark.parametrize("name", PLAIN)
@given(data=st.data())
def test_a_plain_value_is_already_canonical(name: str, data: st.DataObject) -> None:
    text = data.draw(st.from_regex(PLAIN[name], fullmatch=True))
    canonical, reasons = check(row(**{name: text}))
    if name == "event_time":
        # The vectorised path rewrites the time, and checks separately that it exists.
        if not reasons:
            assert canonical[name] == f"{text[:10]}T{text[11:19]}Z"
        return
    assert not reasons
    assert canonical[name] == text


def test_every_column_has_a_plain_form() -> None:
    assert set(PLAIN) | {"event_type"} == set(COLUMNS)
