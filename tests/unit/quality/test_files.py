"""A calendar and a contract as files: what is read, and what is refused with its line."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.quality.calendar import read_calendar
from customer_profiles.quality.contract import (
    ContractError,
    default_contract,
    parse_contract,
    read_contract,
)
from customer_profiles.quality.findings import Severity

HEAD = "apiVersion: v3.1.0\nkind: DataContract\n"
RULE = """\
      - id: volume
        engine: customerProfiles
        severity: warn
        implementation: {low: 5}
"""
TABLE = "schema:\n  - name: raw_events\n    quality:\n"
CONTRACT = HEAD + TABLE + RULE


def test_a_calendar_has_a_name_for_each_day(tmp_path: Path) -> None:
    path = tmp_path / "calendar.yaml"
    path.write_text("2021-11-26: Black Friday\n2021-12-24: Christmas Eve\n")
    assert read_calendar(path) == {
        date(2021, 11, 26): "Black Friday",
        date(2021, 12, 24): "Christmas Eve",
    }


def test_no_calendar_and_an_empty_one_have_no_days(tmp_path: Path) -> None:
    path = tmp_path / "calendar.yaml"
    path.write_text("# nothing yet\n")
    assert read_calendar(None) == read_calendar(path) == {}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"2021-11-26: x\nsoon: y\n", "calendar.yaml, line 2: soon is no day"),
        (b"2021-13-01: x\n", "line 1: 2021-13-01 is no day"),
        (b"- 2021-11-26\n", "line 1: write DAY: NAME, such as 2021-11-26: Black Friday"),
        (b"a: [\n", "The calendar cannot be read"),
        (b"\xff\xfe\x00", "The calendar cannot be read"),
    ],
)
def test_a_wrong_calendar_is_refused_with_the_line(
    content: bytes, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "calendar.yaml"
    path.write_bytes(content)
    with pytest.raises(PipelineError) as error:
        read_calendar(path)
    assert problem in str(error.value)


def test_a_calendar_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="The calendar cannot be read"):
        read_calendar(tmp_path / "none.yaml")


def test_a_contract_of_ones_own_replaces_the_checks(tmp_path: Path) -> None:
    path = tmp_path / "contract.yaml"
    path.write_text(CONTRACT)
    (check,) = read_contract(path)
    assert (check.name, check.severity, check.learned) == ("volume", Severity.WARN, None)
    assert check.threshold is not None
    assert check.threshold.low == 5
    assert read_contract(None) == parse_contract(default_contract())


def test_rules_of_other_tools_are_left_alone() -> None:
    other = "      - id: x\n        engine: soda\n      - id: y\n        type: text\n"
    assert [check.name for check in parse_contract(HEAD + TABLE + other + RULE)] == ["volume"]
    with pytest.raises(ContractError, match="no rule has the engine customerProfiles"):
        parse_contract(HEAD + TABLE + other)


def test_a_check_may_be_about_some_fields_only() -> None:
    rule = RULE.replace("{low: 5}", "{high: 0.5, fields: [brand, price]}").replace(
        "volume", "null_share"
    )
    (check,) = parse_contract(HEAD + TABLE + rule)
    assert check.fields == frozenset({"brand", "price"})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "my.yaml: the contract is empty"),
        ("- a\n", "line 1: keys and values are expected here"),
        ("kind: DataContract\n", "line 1: the contract has no apiVersion"),
        ("apiVersion: [1]\nkind: x\n", "line 1: one value is expected here"),
        (HEAD, "the contract has no schema"),
        (HEAD + "schema: {a: 1}\n", "line 3: a list is expected here"),
        (CONTRACT + RULE, "line 10: the check volume is there twice"),
        (CONTRACT.replace("        severity: warn\n", ""), "the check volume has no severity"),
        (CONTRACT.replace("      - id: volume", "      - name: x"), "the rule has no id"),
        (CONTRACT.replace("low: 5", "lower: 5"), "lower is unknown; known are learn, low, high"),
        (CONTRACT.replace("low: 5", "low: true"), "True is no number"),
        (CONTRACT.replace("low: 5", "low: .inf"), "inf is no number"),
        (CONTRACT.replace("{low: 5}", "{}"), "needs either learn, or low or high"),
        (CONTRACT.replace("low: 5", "low: 5, learn: {floor: 1}"), "needs either learn, or low"),
        (CONTRACT.replace("low: 5", "learn: {floor: 1}"), "learn needs minRatio and floor"),
        (CONTRACT.replace("low: 5", "learn: {floor: 0.1, minRatio: 1}"), "minRatio is above 1"),
    ],
)
def test_a_wrong_contract_is_refused_with_its_name_and_line(text: str, problem: str) -> None:
    with pytest.raises(ContractError) as error:
        parse_contract(text, "my.yaml")
    assert str(error.value).startswith("my.yaml")
    assert problem in str(error.value)


def test_a_contract_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="The contract cannot be read"):
        read_contract(tmp_path / "none.yaml")


def test_what_is_learned_is_taken_from_the_file() -> None:
    learn = "learn: {floor: 0.1, minRatio: 2, minRows: 50, onlyAbove: true}"
    (check,) = parse_contract(CONTRACT.replace("low: 5", learn))
    assert check.learned is not None
    assert check.learned.min_effect == pytest.approx(0.6931, abs=1e-4)
    assert (check.learned.min_rows, check.learned.only_above) == (50, True)
    assert check.threshold is None
