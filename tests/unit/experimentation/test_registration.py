"""From a file to the record that decides: ranges, eligibility, who keeps a variant."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts.assignment import SLOTS, Share, VariantRange
from customer_profiles.contracts.experiment import FieldCondition, RegisteredExperiment
from customer_profiles.experimentation.assigning import assign_frame, is_eligible
from customer_profiles.experimentation.definition import (
    Condition,
    Eligibility,
    Experiment,
    Holdout,
    Method,
    Variant,
)
from customer_profiles.experimentation.registration import (
    allocation_of,
    check_overlap,
    registered,
)
from customer_profiles.lake.errors import WriteConflictError
from customer_profiles.lake.experiments import ASSIGNED_SCHEMA, ExperimentLake
from customer_profiles.profiles.schema import PROFILE_SCHEMA
from tests.support import MemoryObjectStore

NOW = datetime(2020, 11, 1, tzinfo=UTC)
EXPERIMENT = Experiment(
    name="free-shipping",
    hypothesis="Free shipping sells more.",
    salt="free-shipping-1",
    layer="checkout",
    layer_start=Decimal("0.2"),
    traffic=Decimal("0.5"),
    start=NOW,
    end=datetime(2020, 12, 1, tzinfo=UTC),
    variants=(Variant("control", 3), Variant("treatment", 1)),
    eligible=Eligibility(("Interested Shopper",), (Condition("total_events", Decimal(3)),)),
    primary="conversion",
    secondary=(),
    guardrails=(),
    minimum_detectable_effect=0.1,
    alpha=0.05,
    power=0.8,
    method=Method.FIXED_HORIZON,
    planned_customers=1000,
    holdout=Holdout("holdout-2026", Decimal("0.05")),
)
RECORD = registered(EXPERIMENT, "text")
OPEN = replace(
    RECORD,
    segments=(),
    conditions=(),
    allocation=replace(RECORD.allocation, layer=None, holdout=None),
)


def profiles(*rows: dict[str, Any]) -> pl.DataFrame:
    empty = dict.fromkeys(PROFILE_SCHEMA)
    return pl.DataFrame([empty | row for row in rows], schema=PROFILE_SCHEMA)


def test_the_ranges_follow_from_the_file() -> None:
    allocation = allocation_of(EXPERIMENT)
    assert allocation.ranges == (
        VariantRange("control", 0, 750_000),
        VariantRange("treatment", 750_000, SLOTS),
    )
    assert allocation.layer == Share("layer:checkout", 200_000, 700_000)
    assert allocation.holdout == Share("holdout-2026", 0, 50_000)


def test_a_record_survives_json() -> None:
    assert RegisteredExperiment.from_json(RECORD.to_json()) == RECORD


@pytest.mark.parametrize(
    ("profile", "eligible"),
    [
        ({"customer_segment": "Interested Shopper", "total_events": 3}, True),
        ({"customer_segment": "Interested Shopper", "total_events": 2}, False),
        ({"customer_segment": "Casual Visitor", "total_events": 3}, False),
        ({"customer_segment": "Interested Shopper", "total_events": None}, False),
        ({}, False),
    ],
    ids=str,
)
def test_one_customer_and_a_frame_of_customers_are_judged_alike(
    profile: dict[str, Any], eligible: bool
) -> None:
    assert RECORD.is_eligible(profile) == eligible
    assert profiles(profile).select(is_eligible(RECORD)).item() == eligible


def test_a_customer_without_a_profile_takes_part_only_where_there_is_no_condition() -> None:
    assert not RECORD.is_eligible(None)
    assert OPEN.is_eligible(None)


@pytest.mark.parametrize(("value", "holds"), [("99.99", False), ("100", True), ("200.01", False)])
def test_bounds_of_a_condition_are_included(value: str, holds: bool) -> None:
    condition = FieldCondition("total_revenue", Decimal(100), Decimal(200))
    record = replace(OPEN, conditions=(condition,))
    assert condition.holds({"total_revenue": float(value)}) == holds
    frame = profiles({"total_revenue": Decimal(value)})
    assert frame.select(is_eligible(record)).item() == holds


def test_an_assigned_customer_keeps_the_variant_when_the_profile_changes() -> None:
    record = replace(OPEN, segments=("Interested Shopper",))
    shopper = {"user_id": "7", "customer_segment": "Interested Shopper"}
    none = pl.DataFrame(schema=ASSIGNED_SCHEMA)
    first, _ = assign_frame(record, profiles(shopper), none, NOW)
    buyer = shopper | {"customer_segment": "Converting Customer"}
    later = datetime(2020, 11, 9, tzinfo=UTC)
    assert assign_frame(record, profiles(buyer), none, later)[0].height == 0
    second, outcomes = assign_frame(record, profiles(buyer), first, later)
    assert second.equals(first)
    assert outcomes["not_eligible"] == 1


def test_an_erased_customer_is_assigned_no_more() -> None:
    first, _ = assign_frame(
        OPEN, profiles({"user_id": "7"}), pl.DataFrame(schema=ASSIGNED_SCHEMA), NOW
    )
    assert assign_frame(OPEN, profiles({"user_id": "8"}), first, NOW)[0]["user_id"].to_list() == [
        "8"
    ]


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"layer_start": Decimal("0.6")}, True),
        ({"layer_start": Decimal("0.7"), "traffic": Decimal("0.3")}, False),
        ({"layer": "mail"}, False),
        (
            {"start": datetime(2020, 12, 1, tzinfo=UTC), "end": datetime(2021, 1, 1, tzinfo=UTC)},
            False,
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_two_experiments_that_run_at_once_do_not_share_a_range_of_their_layer(
    changes: dict[str, Any], refused: bool
) -> None:
    changes = {"traffic": Decimal("0.2"), **changes}
    other = registered(replace(EXPERIMENT, name="discount", **changes), "")
    if refused:
        with pytest.raises(PipelineError, match="free-shipping and discount have overlapping"):
            check_overlap(RECORD, [RECORD, other])
    else:
        check_overlap(RECORD, [RECORD, other])


def test_of_two_commands_that_register_at_once_one_is_told_so() -> None:
    lake = ExperimentLake(MemoryObjectStore())
    assert lake.read("free-shipping") == (None, None)
    lake.register(RECORD, None)
    with pytest.raises(WriteConflictError, match="at the same moment"):
        lake.register(RECORD, None)
    record, etag = lake.read("free-shipping")
    assert record == RECORD
    lake.register(RECORD, etag)
    assert lake.names() == ["free-shipping"]
