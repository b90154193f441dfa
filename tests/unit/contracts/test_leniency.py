"""Values in foreign forms are read as they were meant, and plain values are never changed."""

from __future__ import annotations

import struct
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from customer_profiles.contracts import COLUMNS, Reason, canonical_price, check, check_row
from customer_profiles.contracts.leniency import NULL_WORDS
from tests.support import row


@pytest.mark.parametrize(
    ("column", "text", "value", "kind"),
    [
        ("event_time", "2019-10-01 00:00:07+5:30", "2019-09-30T18:30:07Z", "time_format"),
        ("event_time", "2019-10-01 00:00:07 -3", "2019-10-01T03:00:07Z", "time_format"),
        ("event_time", "2019-10-01 00:00:07+02:00:00", "2019-09-30T22:00:07Z", "time_format"),
        ("event_time", "2019-10-01t00:00:07,25z", "2019-10-01T00:00:07.25Z", "time_format"),
        ("event_time", "2019-12-31T23:59:59.9999999", "2019-12-31T23:59:59.999999Z", "time_format"),
        ("price", "0.30000000000000004", "0.30", "price_rounded"),
        ("price", "1.1253999471664429", "1.1254", "price_rounded"),
        ("price", "489.07000732421875", "489.07", "price_rounded"),
        ("price", "999999999999.98999", "999999999999.99", "price_rounded"),
        ("price", "0.0000000000", "0.00", "price_format"),
        ("product_id", "9007199254740991.0", "9007199254740991", "id_with_point_zero"),
        ("user_id", "007.00", "7", "id_with_point_zero"),
        ("category_id", "2.05301E+18", None, "category_id_dropped"),
        ("category_id", "2053013555631882655.0", None, "category_id_dropped"),
        ("category_id", "12.0", "12", "id_with_point_zero"),
        ("brand", " nan ", None, "null_word"),
        ("category_code", "\\N", None, "null_word"),
    ],
)
def test_a_foreign_form_is_read_and_named(
    column: str, text: str, value: str | None, kind: str
) -> None:
    values, reasons, kinds = check_row(row(**{column: text}))
    assert (values[column], reasons, kinds) == (value, [], [kind])


@pytest.mark.parametrize(
    ("column", "text", "reason"),
    [
        ("event_time", "2019-10-01 00:00:07+530", "event_time_invalid"),
        ("event_time", "2019-10-01 00:00:07+99", "event_time_invalid"),
        ("event_time", "2019-10-01 00:00:07+00:19:32", "event_time_invalid"),
        ("event_time", "Tue, 31 Feb 2019 00:00:07 GMT", "event_time_invalid"),
        ("event_time", "Tue, 01 Okt 2019 00:00:07 GMT", "event_time_invalid"),
        ("price", "31.900000001", "price_invalid"),
        ("price", "0.03125", "price_invalid"),
        ("price", "0.000001", "price_invalid"),
        ("price", "-.99", "price_negative"),
        ("price", "-35.790000915527344", "price_negative"),
        ("price", "999999999999.9999999999", "price_invalid"),
        ("user_id", "9007199254740992.0", "user_id_mangled"),
        ("user_id", "1.51592E+18", "user_id_mangled"),
        ("category_id", "tv", "category_id_not_integer"),
    ],
)
def test_what_is_not_certain_stays_rejected(column: str, text: str, reason: str) -> None:
    assert check_row(row(**{column: text}))[1:] == ([reason], [])


@pytest.mark.parametrize("word", NULL_WORDS)
def test_a_word_for_null_is_null_in_every_column(word: str) -> None:
    values, reasons, _ = check_row(dict.fromkeys(COLUMNS, word))
    assert set(values.values()) == {None}
    assert reasons == [reason for reason in Reason if reason.endswith("_missing")]


def test_absent_columns_are_null() -> None:
    values = row()
    del values["brand"], values["category_id"], values["category_code"]
    assert check_row(values)[1:] == ([], [])


cents = st.integers(0, 10**7).map(lambda number: Decimal(number) / 100)


@given(cents)
def test_a_price_survives_a_float_of_32_bits(price: Decimal) -> None:
    single = struct.unpack("f", struct.pack("f", float(price)))[0]
    # A float that ends after four decimals, such as 65737.4375, is a price as it stands.
    assume(Decimal(single) == price or Decimal(single) * 10_000 % 1)
    values, reasons, _ = check_row(row(price=f"{single:.20f}"))
    assert (values["price"], reasons) == (canonical_price(f"{price:.2f}"), [])


@given(st.integers(0, 10**12).map(lambda number: Decimal(number) / 100))
def test_a_price_survives_a_float_of_64_bits_with_17_digits(price: Decimal) -> None:
    values, reasons, _ = check_row(row(price=f"{Decimal(f'{float(price):.17g}'):f}"))
    assert (values["price"], reasons) == (canonical_price(f"{price:.2f}"), [])


texts = st.one_of(
    st.text(max_size=20),
    st.text("0123456789.-+:TZ eE", max_size=30),
    st.sampled_from(NULL_WORDS),
    st.decimals(-10, 10**13, places=7).map(str),
    st.floats(0, 10**6, width=32).map(repr),
)


@pytest.mark.no_cover
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(COLUMNS, texts)))
def test_a_row_that_is_plain_keeps_its_values(changes: dict[str, str]) -> None:
    values, reasons = check(row(**changes))
    lenient, lenient_reasons, kinds = check_row(row(**changes))
    if not reasons and not {text.strip() for text in changes.values()} & set(NULL_WORDS):
        assert (lenient, lenient_reasons, kinds) == (values, [], [])
    if not lenient_reasons:
        # What is read is canonical, so a message with it keeps the contract.
        assert check(lenient) == (lenient, [])
