from __future__ import annotations

import json

import pytest

from customer_profiles.contracts import BREAKS_CONTRACT, SCHEMA_VERSION, DeadLetter

ROW = DeadLetter("events.csv", 7, ["price_negative"], "2020-09-24 11:57:06 UTC,…", ["event_time"])
MESSAGE = DeadLetter("raw_events/2", 40, [BREAKS_CONTRACT], "{}", detail="not a JSON object")


@pytest.mark.parametrize("dead_letter", [ROW, MESSAGE], ids=["row", "message"])
def test_a_dead_letter_survives_json(dead_letter: DeadLetter) -> None:
    assert DeadLetter.from_json(dead_letter.to_json()) == dead_letter
    assert DeadLetter.from_json(dead_letter.to_json().encode()) == dead_letter


def test_the_names_of_the_stored_fields_never_change() -> None:
    assert json.loads(MESSAGE.to_json()) == {
        "source": "raw_events/2",
        "source_row": 40,
        "reasons": ["breaks_contract"],
        "text": "{}",
        "columns": None,
        "detail": "not a JSON object",
        "schema_version": SCHEMA_VERSION,
    }


def test_unknown_fields_are_dropped() -> None:
    later = json.dumps({**json.loads(ROW.to_json()), "severity": "high"})
    assert DeadLetter.from_json(later) == ROW


@pytest.mark.parametrize("data", ["", "[]", "null", "{}", '{"source": "a", "source_row": "x"}'])
def test_data_that_is_not_a_dead_letter_is_rejected(data: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        DeadLetter.from_json(data)
