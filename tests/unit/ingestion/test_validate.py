"""Whole columns decide as the reference does, row by row."""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import (
    COLUMNS,
    MESSAGE_FIELDS,
    check,
    check_row,
    encode,
    event_id,
)
from customer_profiles.contracts.leniency import NULL_WORDS
from customer_profiles.ingestion.lines import check_line
from customer_profiles.ingestion.messages import encode as encode_columns
from customer_profiles.ingestion.validate import REJECTED_SCHEMA, validate
from tests.support import GOOD_ROW, line


def reasons_of(data: bytes) -> list[list[str]]:
    return validate(data, COLUMNS, "f.csv", 1).rejected["reasons"].to_list()


@pytest.mark.parametrize(
    ("text", "accepted", "reasons"),
    [
        (line(), 1, []),
        (line() + "\r", 1, []),
        (line(brand='"apple"'), 1, []),
        (line(brand='"a,b"'), 1, []),
        (line(brand="élica"), 1, []),
        (line(price="31.9"), 1, []),
        (line(event_time="2020-09-24T11:57:06+02:00"), 1, []),
        ("", 0, []),
        ("   \r", 0, []),
        (line() + ",more", 0, [["wrong_field_count"]]),
        ("2020-09-24 11:57:06 UTC,view,19", 0, [["wrong_field_count"]]),
        (line(brand='"apple'), 0, [["bad_quotes"]]),
        (line(brand='a"b"c"'), 1, []),
        (line(brand="a\x00b"), 0, [["control_character"]]),
        (line(user_session=""), 0, [["user_session_missing"]]),
        (line(event_time="yesterday"), 0, [["event_time_invalid"]]),
        (line(event_time="2020-02-30 11:57:06 UTC"), 0, [["event_time_invalid"]]),
        (line(event_type="wish"), 0, [["event_type_unknown"]]),
        (line(product_id="abc"), 0, [["product_id_not_integer"]]),
        (line(product_id="1996170.0"), 1, []),
        (line(product_id="1.99617E+06"), 0, [["product_id_mangled"]]),
        (line(category_id="2.14442E+18"), 1, []),
        (line(user_session="null"), 0, [["user_session_missing"]]),
        (",".join(COLUMNS), 0, [["repeated_header"]]),
        ("\ufeff" + ",".join(COLUMNS).upper(), 0, [["repeated_header"]]),
        (line(brand='"the \\"best\\" brand"'), 1, []),
        (line(brand='"the \\", brand"'), 1, []),
        (line(brand='"the \\"best\\" brand'), 0, [["bad_quotes"]]),
        (line(category_id="-1"), 0, [["category_id_not_integer"]]),
        (line(user_id=""), 0, [["user_id_missing"]]),
        (line(price=""), 0, [["price_missing"]]),
        (line(price="free"), 0, [["price_invalid"]]),
        (line(price="-31.90"), 0, [["price_negative"]]),
        (line(user_id="1.51592E+18", price="-2"), 0, [["price_negative", "user_id_mangled"]]),
        (line(brand="x" * 70_000), 0, [["line_too_long"]]),
        (",,,,,,,,", 0, [["event_time_missing", "event_type_missing", "product_id_missing",
                          "price_missing", "user_id_missing", "user_session_missing"]]),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_each_kind_of_line(text: str, accepted: int, reasons: list[list[str]]) -> None:
    # Between good lines, so that a bad one spoils nothing around it.
    data = "\n".join([line(user_id="1"), text, line(user_id="2"), ""]).encode()
    checked = validate(data, COLUMNS, "f.csv", 1)
    assert checked.rejected["reasons"].to_list() == reasons
    assert checked.accepted.height == accepted + 2
    assert checked.read == checked.accepted.height + checked.rejected.height


def test_a_line_that_is_not_utf8_is_rejected_alone_and_keeps_its_bytes() -> None:
    data = b"\n".join(
        [line().encode(), line(brand="caf").encode().replace(b"caf", b"caf\xe9"), line().encode()]
    )
    checked = validate(data, COLUMNS, "f.csv", 10)
    assert checked.accepted["source_row"].to_list() == [10, 12]
    assert checked.rejected.rows()[0][:2] == (11, ["not_utf8"])
    assert "caf\\xe9" in checked.rejected["text"][0]


def test_rows_are_numbered_across_accepted_and_rejected_and_blank_lines_are_no_rows() -> None:
    data = "\n".join([line(), "", line(price=""), line(price="5")]).encode()
    checked = validate(data, COLUMNS, "f.csv", 1)
    assert checked.accepted["source_row"].to_list() == [1, 3]
    assert checked.rejected["source_row"].to_list() == [2]


def test_a_rejected_row_keeps_its_original_text() -> None:
    text = line(price="free", brand='"a,""b"""')
    assert validate(text.encode(), COLUMNS, "f.csv", 1).rejected["text"].to_list() == [text]


def test_columns_are_read_by_name_in_any_order_beside_others() -> None:
    columns = (*reversed(COLUMNS), "extra", "extra")
    text = ",".join([*(GOOD_ROW[name] for name in reversed(COLUMNS)), "x", "y"])
    straight = validate(line().encode(), COLUMNS, "f.csv", 1).accepted
    assert validate(text.encode(), columns, "f.csv", 1).accepted.equals(straight)


def test_messages_have_the_fields_and_bytes_of_the_contract() -> None:
    data = "\n".join(
        [line(), line(brand="bra\\nd"), line(category_code=""), line(brand='"a ""b"""')]
    ).encode()
    accepted = validate(data, COLUMNS, 'f".csv', 1).accepted
    assert tuple(accepted.columns) == MESSAGE_FIELDS
    for message, encoded in zip(
        accepted.iter_rows(named=True), encode_columns(accepted).to_list(), strict=True
    ):
        assert encoded.encode() == encode(message)
        assert message["event_id"] == event_id(message)


def test_what_was_rewritten_is_counted_in_accepted_rows_only() -> None:
    lines = [line(price=".99", brand="nan"), line(price=".99"), line(price=".99", user_session="")]
    checked = validate("\n".join([line(), *lines]).encode(), COLUMNS, "f.csv", 1)
    assert checked.normalised == {"price_format": 2, "null_word": 1}
    strict = validate("\n".join([line(), *lines]).encode(), COLUMNS, "f.csv", 1, strict=True)
    assert (strict.normalised, strict.accepted.height) == ({}, 1)


def test_a_strict_run_keeps_words_for_null_as_they_stand() -> None:
    data = line(brand="nan", user_session="null").encode()
    accepted = validate(data, COLUMNS, "f.csv", 1, strict=True).accepted
    assert accepted.select("brand", "user_session").row(0) == ("nan", "null")


def test_absent_columns_are_null_in_every_row() -> None:
    columns = [name for name in COLUMNS if name not in ("category_id", "category_code", "brand")]
    data = "\n".join(
        ",".join({**GOOD_ROW, "price": price}[name] for name in columns) for price in ("1.00", ".5")
    )
    checked = validate(data.encode(), columns, "f.csv", 1)
    straight = validate(
        "\n".join(
            line(category_id="", category_code="", price=price) for price in ("1.00", ".5")
        ).encode(),
        COLUMNS,
        "f.csv",
        1,
    )
    assert checked.accepted.equals(straight.accepted)
    assert checked.normalised == {"missing_column": 6, "price_format": 1}


def test_a_header_in_another_order_in_the_middle_stops_the_run() -> None:
    data = "\n".join([line(), ",".join(reversed(COLUMNS)), line()]).encode()
    with pytest.raises(PipelineError, match="another order"):
        validate(data, COLUMNS, "f.csv", 1)


def test_nothing_at_all_is_no_rows() -> None:
    checked = validate(b"", COLUMNS, "f.csv", 1)
    assert (checked.read, checked.accepted.height, checked.rejected.height) == (0, 0, 0)


ODD = st.sampled_from(
    ["", " ", "0", "00", "7", "-7", "1e5", "2.10381E+18", "view", "VIEW", "cart", "31.9", "31.90",
     ".5", "1,5", "2020-09-24 11:57:06 UTC", "2020-13-01 00:00:00 UTC", "2020-09-24 24:00:00 UTC",
     "2020-12-31 23:59:60 UTC", "0000-01-01 00:00:00 UTC", "2020-09-24T11:57:06Z",
     ".99", "35.790000915527344", "1996170.0", "9007199254740992.0", "2019-10-01 00:00:07+00",
     "2019-10-01T00:00", "event_time", *NULL_WORDS, "\uff19",
     "a b", "\u00a0x", "x\u2028", "\ufeff", "a.b", ".", "'", "\t"]
)  # fmt: skip


@pytest.mark.no_cover
@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries({name: st.just(GOOD_ROW[name]) | ODD for name in COLUMNS}), max_size=6
    ),
    st.booleans(),
    st.sampled_from(",;\t|"),
)
def test_whole_columns_agree_with_the_reference(
    rows: list[dict[str, str]], strict: bool, separator: str
) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator="\n").writerows(
        [values[name] for name in COLUMNS] for values in rows
    )
    checked = validate(
        out.getvalue().encode(), COLUMNS, "f.csv", 1, separator=separator, strict=strict
    )
    expected = [check(values) if strict else check_row(values)[:2] for values in rows]
    assert checked.read == len(rows)
    good = [values for values, reasons in expected if not reasons]
    assert checked.accepted.select(COLUMNS).to_dicts() == good
    assert checked.rejected["reasons"].to_list() == [
        [str(r) for r in reasons] for _, reasons in expected if reasons
    ]


YEARS = st.sampled_from(["2019", "1999", "2100", "0001", "3000", "20190"])
TWO_DIGITS = st.integers(0, 61).map("{:02}".format)
TIMES = st.builds(
    "".join,
    st.tuples(
        YEARS, st.just("-"), st.sampled_from(["01", "02", "12", "13"]), st.just("-"),
        st.sampled_from(["01", "28", "29", "30", "31", "32"]),
        st.sampled_from([" ", "T", "t", "  "]),
        st.sampled_from(["00", "11", "23", "24"]), st.just(":"), TWO_DIGITS,
        st.just("") | TWO_DIGITS.map(":{}".format),
        st.just("") | st.from_regex(r"\A[.,][0-9]{1,11}\Z") | st.sampled_from([".000", ".500000"]),
        st.sampled_from(["", " "]),
        st.sampled_from(["", "UTC", "GMT", "Z", "z", "+00", "+00:00", "+0000", "-00", "+02", "+0"]),
    ),
)  # fmt: skip
"""Times as other programs write them, and some that are none."""


@pytest.mark.no_cover
@settings(max_examples=300, deadline=None)
@given(st.lists(TIMES, min_size=1, max_size=10), st.booleans())
def test_times_by_whole_columns_agree_with_the_reference(times: list[str], strict: bool) -> None:
    rows = [line(event_time=f'"{time}"' if "," in time else time, brand="NULL") for time in times]
    block = validate("\n".join(rows).encode(), COLUMNS, "f.csv", 1, strict=strict)
    checked = [check_line(text.encode(), COLUMNS, strict=strict) for text in rows]
    accepted = [one.values for one in checked if not one.reasons]
    assert block.accepted.select(COLUMNS).to_dicts() == accepted
    assert block.rejected["reasons"].to_list() == [one.reasons for one in checked if one.reasons]
    assert block.normalised == Counter(kind for one in checked for kind in one.rewritten)


@pytest.mark.parametrize(
    ("time", "kinds"),
    [
        ("2019-10-01 00:00:07+00", {"time_format": 2_000}),
        ("2019-10-01 00:00:07.123456789+00:00", {"time_format": 2_000}),
        ("2019-10-01T00:00Z", {"time_format": 2_000}),
        ("2019-10-01T00:00:07.25Z", {}),
    ],
)
def test_common_spellings_of_times_never_reach_the_reference(
    time: str, kinds: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys.modules[validate.__module__], "check_line", lambda *_, **__: pytest.fail("one by one")
    )
    rows = "\n".join(line(event_time=time, user_id=str(n)) for n in range(1, 2_001))
    block = validate(rows.encode(), COLUMNS, "f.csv", 1)
    assert (block.accepted.height, block.normalised) == (2_000, kinds)


def test_rejected_has_its_schema_also_when_empty() -> None:
    assert validate(line().encode(), COLUMNS, "f.csv", 1).rejected.schema == pl.Schema(
        REJECTED_SCHEMA
    )
