"""What is an alert, what is learned, and what explains what."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from customer_profiles.quality.baseline import NEW_NORMAL_DAYS
from customer_profiles.quality.checks import DEFAULT_CHECKS
from customer_profiles.quality.clock import best_shift
from customer_profiles.quality.contract import ContractError, default_contract, parse_contract
from customer_profiles.quality.evaluate import evaluate, findings_of
from customer_profiles.quality.findings import Finding, OpenFindings, Severity, worst
from customer_profiles.quality.history import History, Observation, Series

pytestmark = pytest.mark.unit
FIRST = date(2021, 1, 4)
WEEK = (1.0, 0.95, 0.93, 0.97, 1.05, 1.2, 1.15)


def history(days: int = 60, **changed: dict[int, float]) -> History:
    """A shop with a week's rhythm, and some days on which a check has another value."""
    usual = {"volume": 5_000.0, "customer_events": 40.0, "repeated_share": 0.0}
    series: dict[Series, dict[date, Observation]] = {}
    for name, value in usual.items():
        observed = series[Series(name)] = {}
        for number in range(days):
            day = FIRST + timedelta(number)
            rhythm = WEEK[day.weekday()] if name == "volume" else 1
            found = changed.get(name, {}).get(number, value * rhythm)
            observed[day] = Observation(found, 5_000)
    return History(series)


def found(*arguments: object, **changed: dict[int, float]) -> list[Finding]:
    return findings_of(evaluate(history(**changed), DEFAULT_CHECKS), DEFAULT_CHECKS)


def test_a_week_as_every_week_is_no_finding() -> None:
    assert found() == []


def test_half_of_the_rows_are_found_with_what_was_expected() -> None:
    (finding,) = found(volume={45: 2_500})
    assert (finding.check, finding.severity, finding.day) == (
        "volume",
        Severity.FAIL,
        FIRST + timedelta(45),
    )
    assert finding.expected_low is not None
    assert finding.value < finding.expected_low < 5_000 < (finding.expected_high or 0)
    assert finding.command == "make quality SHOW=volume@2021-02-18"


def test_nothing_is_said_while_it_is_learned() -> None:
    assert found(volume={10: 2_500}) == []


def test_an_alarmed_day_leaves_the_baseline_and_is_counted() -> None:
    first, second, again = found(volume={40: 2_500, 41: 2_500, 50: 2_500})
    assert (first.since, second.since) == (first.day, first.day)
    assert (first.times_before, again.times_before) == (0, 1)


def test_what_lasts_two_weeks_is_normal_then() -> None:
    lasting = dict.fromkeys(range(30, 60), 2_500.0)
    assert 1 <= len(found(volume=lasting)) <= NEW_NORMAL_DAYS + 7


def test_a_day_of_the_calendar_is_not_judged() -> None:
    busy = history(volume={45: 20_000})
    special = {FIRST + timedelta(45)}
    assert findings_of(evaluate(busy, DEFAULT_CHECKS, special), DEFAULT_CHECKS) == []


def test_one_customer_explains_the_volume() -> None:
    findings = found(volume={45: 105_000}, customer_events={45: 100_000})
    assert [(each.check, each.explained_by) for each in findings] == [
        ("customer_events", None),
        ("volume", "customer_events"),
    ]


def test_findings_survive_the_lake() -> None:
    findings = tuple(found(volume={45: 2_500}))
    stored = OpenFindings(FIRST, findings)
    assert OpenFindings.from_json(stored.to_json()) == stored
    assert worst(findings) is Severity.FAIL
    assert worst([]) is None


@pytest.mark.parametrize("moved", [-6, -2, 0, 1, 2, 6])
def test_a_moved_clock_is_told_by_its_hours(moved: int) -> None:
    day = [20] * 12 + [60] * 12 + [200] * 20 + [90] * 4
    shifted = [day[(slot - moved) % 48] for slot in range(48)]
    assert best_shift(shifted, day).hours == moved / 2


def test_an_outage_is_no_moved_clock() -> None:
    day = [20] * 12 + [60] * 12 + [200] * 20 + [90] * 4
    assert best_shift([0] * 10 + day[10:], day).hours == 0


def test_the_contract_has_the_checks_that_were_measured() -> None:
    read = {check.name: check for check in parse_contract(default_contract())}
    assert set(read) == {check.name for check in DEFAULT_CHECKS}
    for check in DEFAULT_CHECKS:
        assert read[check.name].severity is check.severity
        assert read[check.name].threshold == check.threshold
        learned, expected = read[check.name].learned, check.learned
        assert (learned is None) == (expected is None)
        if learned and expected:
            assert learned.min_effect == pytest.approx(expected.min_effect, rel=1e-4)
            assert (learned.floor, learned.sigmas, learned.noise, learned.fails_below) == (
                expected.floor,
                expected.sigmas,
                expected.noise,
                expected.fails_below,
            )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("v3.1.0", "v2.0.0", "line 3: apiVersion is v2.0.0"),
        ("id: volume", "id: volum", "line 47: there is no check volum;"),
        ("severity: fail", "severity: loud", "line 51: the severity is one of warn, fail"),
        ("minRatio: 1.25", "minRatio: big", "line 54: big is no number"),
        ("minRatio: 1.25", "ratio: 1.25", "ratio is unknown"),
        ("kind: DataContract", "kind: [", "this is no YAML"),
    ],
)
def test_a_wrong_contract_is_refused_with_the_line(old: str, new: str, problem: str) -> None:
    text = default_contract()
    assert old in text
    with pytest.raises(ContractError) as error:
        parse_contract(text.replace(old, new, 1), "my.yaml")
    assert problem in str(error.value)
