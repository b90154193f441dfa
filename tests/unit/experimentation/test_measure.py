"""From exposures and events to the numbers of each customer."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from customer_profiles.experimentation.compare import winsorise
from customer_profiles.experimentation.definition import Kind, Metric
from customer_profiles.experimentation.first_exposures import first_exposures
from customer_profiles.experimentation.measure import join, measure
from customer_profiles.experimentation.windows import (
    AfterExposure,
    BeforeExposure,
    covariate_window,
)
from customer_profiles.profiles.segments import read_segments
from tests.unit.experimentation.cases import EXPERIMENT, at, events, exposures

DAY = timedelta(days=1)
ALL_KINDS = [
    Metric("conversion", Kind.CONVERSION, 7),
    Metric("revenue", Kind.REVENUE, 7),
    Metric("orders", Kind.ORDERS, 7),
    Metric("value", Kind.AVERAGE_ORDER_VALUE, 7),
    Metric("sessions", Kind.SESSIONS, 7),
    Metric("retention", Kind.RETENTION, 7, from_days=1),
]


def test_only_events_in_the_window_count_and_those_before_are_covariates() -> None:
    measured = measure(
        events(
            [
                ("1", "purchase", -29, "1000"),
                ("1", "purchase", -1, "7"),
                ("1", "purchase", 2, "10"),
                ("1", "view", 3, "5"),
                ("1", "purchase", 8.99, "20"),
                ("1", "purchase", 9, "40"),
                ("2", "purchase", 2, "500"),
            ]
        ),
        exposures(("1", "banner", 2)),
        ALL_KINDS,
        at(9),
    )
    assert measured.customers.drop("user_id", "variant", "segment", "exposed_at").row(
        0, named=True
    ) == {
        "conversion": 1,
        "conversion__before": 1,
        "revenue": 30,
        "revenue__before": 7,
        "orders": 2,
        "orders__before": 1,
        "value": 30,
        "value__of": 2,
        "value__before": 7,
        "value__of__before": 1,
        "sessions": 3,
        "sessions__before": 1,
        "retention": 1,
        "retention__before": 1,
    }


def test_a_customer_without_events_counts_as_zero() -> None:
    measured = measure(events([]), exposures(("1", "control", 0)), ALL_KINDS, at(20))
    assert measured.customers.select("conversion", "revenue", "retention").row(0) == (0, 0, 0)


def test_an_open_window_is_null_and_not_zero() -> None:
    measured = measure(
        events([("1", "purchase", 1, "10")]),
        exposures(("1", "banner", 0), ("2", "banner", 1)),
        ALL_KINDS[:1],
        at(7.5),
    )
    assert measured.customers["conversion"].to_list() == [1, None]


def test_a_repeated_event_counts_once() -> None:
    bought = events([("1", "purchase", 1, "10")])
    measured = measure(pl.concat([bought, bought]), exposures(("1", "banner", 0)), ALL_KINDS, at(9))
    assert measured.customers["orders"].to_list() == [1]


def test_the_segment_is_that_of_before_the_exposure() -> None:
    measured = measure(
        events(
            [
                ("1", "purchase", -3, "600"),
                ("2", "view", -3, "1"),
                ("2", "purchase", 1, "5000"),
            ]
        ),
        exposures(("1", "banner", 0), ("2", "banner", 0), ("3", "banner", 0)),
        ALL_KINDS,
        at(9),
        read_segments(),
    )
    assert measured.customers["segment"].to_list() == [
        "Medium Value",
        "Casual Visitor",
        "Casual Visitor",
    ]


def test_parts_join_to_the_same_as_the_whole() -> None:
    some = events([("1", "purchase", 1, "10"), ("2", "purchase", 1.5, "30")])
    first, second = exposures(("1", "banner", 0)), exposures(("2", "banner", 0))
    parts = [measure(some, part, ALL_KINDS[1:], at(9)) for part in (first, second)]
    whole = measure(some, pl.concat([first, second]), ALL_KINDS[1:], at(9))
    assert join(parts).customers.equals(whole.customers)
    assert join(parts).days.equals(whole.days)
    assert whole.days.rows() == [("banner", 1, 40.0, 2.0, 1000.0, 2.0, 40.0)]


@pytest.mark.parametrize(("first", "last"), [(-DAY, DAY), (0 * DAY, DAY), (-DAY, -2 * DAY)])
def test_a_covariate_of_after_the_exposure_is_refused(first: timedelta, last: timedelta) -> None:
    with pytest.raises(ValueError, match="before the exposure"):
        BeforeExposure(first, last)


def test_the_window_of_an_outcome_is_refused_as_one_of_a_covariate() -> None:
    with pytest.raises(TypeError, match="BeforeExposure"):
        covariate_window(AfterExposure(0 * DAY, DAY))  # type: ignore[arg-type]


def test_winsorisation_takes_the_quantile_of_positive_values_of_all_variants() -> None:
    frame = pl.DataFrame({"revenue": [0.0] * 900 + [float(n) for n in range(1, 101)]})
    capped, caps = winsorise(frame, [Metric("revenue", Kind.REVENUE, 7, winsorise=0.9)])
    assert caps["revenue"].cap == pytest.approx(90.1)
    assert caps["revenue"].customers == 10
    assert capped["revenue"].max() == pytest.approx(90.1)


LEFT_OUT = {
    "an exposure before the start": ([("1", "banner", -1), ("1", "banner", 1)], "before_start"),
    "two variants": ([("1", "control", 1), ("1", "banner", 2)], "in_two_variants"),
    "a renamed variant": ([("1", "Banner", 1)], "unknown_variant"),
    "an exposure after the end": ([("1", "banner", 14)], "after_end"),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_who_cannot_be_analysed_is_left_out_and_counted(case: str) -> None:
    rows, reason = LEFT_OUT[case]
    exposed = first_exposures(exposures(*rows, ("2", "control", 3)), EXPERIMENT)
    assert exposed.customers["user_id"].to_list() == ["2"]
    assert (exposed.counts.customers, exposed.counts.analysed) == (2, 1)
    assert getattr(exposed.counts, reason) == 1


def test_an_erased_customer_is_left_out_and_counted() -> None:
    exposed = first_exposures(
        exposures(("1", "banner", 1), ("2", "control", 3)), EXPERIMENT, pl.Series(["1", "77"])
    )
    assert exposed.customers["user_id"].to_list() == ["2"]
    assert exposed.counts.erased == 1


def test_the_first_of_repeated_exposures_counts() -> None:
    exposed = first_exposures(
        exposures(("1", "banner", 5), ("1", "banner", 1), ("1", "banner", 15)), EXPERIMENT
    )
    assert exposed.customers["exposed_at"].to_list() == [at(1)]
    assert exposed.counts.repeats == 2


def test_all_customers_are_analysed_or_left_out_for_one_reason() -> None:
    rows = [row for case, _ in LEFT_OUT.values() for row in case]
    renamed = [(str(n), variant, day) for n, (_, variant, day) in enumerate(rows)]
    counts = first_exposures(exposures(*rows, *renamed), EXPERIMENT, assigned=40).counts
    left_out = ("erased", "before_start", "unknown_variant", "in_two_variants", "after_end")
    assert counts.customers == counts.analysed + sum(getattr(counts, name) for name in left_out)
    assert counts.dilution == pytest.approx(1 - counts.customers / 40)
