"""The table of limits says what ingestion accepts, and every message of it fits into Kafka."""

from __future__ import annotations

from datetime import MAXYEAR, MINYEAR

import pytest

from customer_profiles.contracts import COLUMNS
from customer_profiles.contracts.limits import (
    FIRST_YEAR,
    LAST_YEAR,
    MAX_LINE_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_PRICE_DECIMALS,
    MAX_PRICE_DIGITS,
    MAX_TOTAL_DIGITS,
)
from customer_profiles.contracts.limits_table import LIMITS
from customer_profiles.ingestion.messages import encode
from customer_profiles.ingestion.validate import validate
from customer_profiles.processing.parse import parse
from customer_profiles.processing.tasks.land import MAX_LETTER_BYTES
from customer_profiles.profiles.schema import PRICE, PRICE_SUM, TOTAL
from tests.limits import AT_LIMIT, BEYOND, NO_ROWS
from tests.support import line, row


def test_every_line_of_the_table_is_tried() -> None:
    assert {limit.value for limit in LIMITS} == AT_LIMIT.keys() | BEYOND.keys() | NO_ROWS


@pytest.mark.parametrize("value", AT_LIMIT)
def test_a_value_at_its_limit_passes_through_a_message_unchanged(value: str) -> None:
    lines = [line(**changes).encode() for changes in AT_LIMIT[value]]
    block = validate(b"\n".join(lines), COLUMNS, "events.csv", 1)
    assert block.rejected.rows() == []
    messages = [message.encode() for message in encode(block.accepted)]
    assert max(map(len, messages)) < MAX_MESSAGE_BYTES
    events, invalid = parse(messages, 0, range(len(messages)))
    assert invalid == []
    for name in ("product_id", "category_id", "user_id", "category_code", "brand", "user_session"):
        expected = [row(**changes)[name] or None for changes in AT_LIMIT[value]]
        assert events[name].to_list() == expected


@pytest.mark.parametrize("value", BEYOND)
def test_a_value_beyond_its_limit_has_its_reason(value: str) -> None:
    for changes, reason in BEYOND[value]:
        data = line(**changes).encode("utf-8", "surrogatepass")
        block = validate(data, COLUMNS, "events.csv", 1)
        assert block.rejected["reasons"].to_list() == [[reason]], changes


def test_the_longest_line_of_escapes_fits_into_a_message() -> None:
    room = MAX_LINE_BYTES - len(line(category_code=""))
    for text in ("\\" * room, '"' + '"' * (room // 2 * 2 - 2) + '"'):
        block = validate(line(category_code=text).encode(), COLUMNS, "x" * 5_000, 1)
        assert len(encode(block.accepted)[0].encode()) < MAX_MESSAGE_BYTES
    assert MAX_LETTER_BYTES < MAX_MESSAGE_BYTES


def test_decimals_hold_the_prices_and_their_sums() -> None:
    assert PRICE.scale == MAX_PRICE_DECIMALS
    assert PRICE.precision is not None
    assert PRICE.precision - PRICE.scale >= MAX_PRICE_DIGITS
    assert TOTAL.precision == PRICE_SUM.precision == MAX_TOTAL_DIGITS
    # Averages are computed in 128 bits, from twice the sum in ten-thousandths.
    assert 2 * 10**21 * 10 ** (MAX_PRICE_DIGITS + MAX_PRICE_DECIMALS) < 2**127


def test_the_years_are_those_of_python() -> None:
    assert (FIRST_YEAR, LAST_YEAR) == (MINYEAR, MAXYEAR)
