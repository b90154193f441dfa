"""The reference explains every reason, with an example that really has it."""

from __future__ import annotations

import pytest

from customer_profiles.contracts import COLUMNS, Reason
from customer_profiles.contracts.reference import REASONS, ReasonReference
from customer_profiles.ingestion.lines import check_line
from customer_profiles.ingestion.validate import validate


def test_every_reason_is_explained_once() -> None:
    assert [entry.reason for entry in REASONS] == list(Reason)


@pytest.mark.parametrize("entry", REASONS, ids=lambda entry: entry.reason)
def test_an_example_has_exactly_its_reason(entry: ReasonReference) -> None:
    checked = check_line(entry.example, COLUMNS, strict=entry.strict_only)
    assert checked.reasons == [entry.reason]


@pytest.mark.parametrize("entry", REASONS, ids=lambda entry: entry.reason)
def test_the_vectorised_path_gives_the_same_reason(entry: ReasonReference) -> None:
    block = validate(entry.example + b"\n", COLUMNS, "events.csv", 1, strict=entry.strict_only)
    assert block.rejected["reasons"].to_list() == [[entry.reason]]


@pytest.mark.parametrize("entry", REASONS, ids=lambda entry: entry.reason)
def test_an_example_fits_on_one_short_line(entry: ReasonReference) -> None:
    assert entry.shown_example.isprintable()
    assert len(entry.shown_example) < 200
