"""The columns of an input."""

from __future__ import annotations

from customer_profiles.ingestion.header import parse_header
from tests.support import HEADER


def test_a_header_is_read_by_names_in_any_case() -> None:
    header = parse_header("events.csv", HEADER.upper().encode() + b"\r\n1")
    assert header.columns == tuple(HEADER.split(","))
    assert header.size == len(HEADER) + 2
