"""The example that adds a segment to the default ones, run without servers."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.profiles.segments import DEFAULT_SEGMENTS, read_segments
from examples.add_a_segment import SEGMENTS, compare_segments, main, read_events
from tests.support import HEADER, line


def write_csv(path: Path, *rows: str) -> Path:
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


@pytest.fixture
def events_csv(tmp_path: Path) -> Path:
    """A visitor, a customer with one purchase, a customer with three, and an invalid row."""
    purchases = [
        line(event_type="purchase", user_id="3", event_time=f"2020-09-2{day} 11:57:06 UTC")
        for day in (4, 5, 6)
    ]
    return write_csv(
        tmp_path / "events.csv",
        line(user_id="1"),
        line(event_type="purchase", user_id="2"),
        *purchases,
        purchases[0],
        line(user_id="4", price="-1"),
    )


def test_rows_are_validated_by_the_contract(events_csv: Path) -> None:
    events, rejected = read_events(events_csv)
    assert rejected == 1
    assert events["user_id"].to_list() == ["1", "2", "3", "3", "3", "3"]
    assert events["event_id"].n_unique() == 5


def test_a_row_with_too_many_fields_is_rejected(tmp_path: Path) -> None:
    events, rejected = read_events(write_csv(tmp_path / "events.csv", line() + ",more", line()))
    assert (events.height, rejected) == (1, 1)


def test_the_new_segment_takes_customers_from_the_next_rule(events_csv: Path) -> None:
    events, _ = read_events(events_csv)
    counts = compare_segments(events, SEGMENTS)
    assert {name: (default, yours) for name, default, yours in counts.iter_rows()} == {
        "Casual Visitor": (1, 1),
        "Converting Customer": (2, 1),
        "Loyal Customer": (0, 1),
    }


def test_the_file_adds_one_rule_to_the_default_ones_and_raises_the_version() -> None:
    default = tomllib.loads(DEFAULT_SEGMENTS.read_text())
    yours = tomllib.loads(SEGMENTS.read_text())
    added = [rule for rule in yours["segments"] if rule not in default["segments"]]
    assert [rule["name"] for rule in added] == ["Loyal Customer"]
    assert [rule for rule in yours["segments"] if rule not in added] == default["segments"]
    assert read_segments(SEGMENTS).version > read_segments().version


def test_the_example_prints_both_counts(
    events_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(events_csv)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("6 events, 1 rejected rows")
    assert "Loyal Customer" in printed


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), ("a,b\n1,2\n", "lacks the columns"), ("", "lacks the columns")],
)
def test_an_unusable_file_is_an_error_that_names_the_next_action(
    tmp_path: Path, content: str | None, message: str
) -> None:
    path = tmp_path / "events.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(PipelineError, match=message) as error:
        main([str(path)])
    assert "make sample" in str(error.value)
