"""Who gets which variant: fixed for ever, uniform, independent, and never moved by more traffic."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import product

import pytest
from scipy.stats import chi2_contingency, chisquare

from customer_profiles.contracts import bucket_of
from customer_profiles.contracts.assignment import (
    CHUNK,
    SLOTS,
    Allocation,
    Assignment,
    Outcome,
    Share,
    VariantRange,
    allocate,
    assign,
    assign_many,
    hash_of,
    layer_share,
    slot_of,
    slots_of,
)
from tests.support import ROOT

USERS = [str(1515915625000000000 + 7919 * number) for number in range(40_000)]
"""Ids as close together as the real ones are."""
HALVES = allocate({"control": 1, "treatment": 1})
VECTORS = [
    # salt, user_id, hash, slot
    ("checkout-2026", "0", "9d452030afbcbc7f", 622079),
    ("checkout-2026", "7", "05bee20b47d46be1", 285537),
    ("checkout-2026", "1515915625519388267", "c64d5108bfc89359", 633241),
    ("checkout-2026", "99999999999999999999", "8cf3944b5162aea7", 480231),
    ("free-shipping", "0", "6e935e91602cc352", 354578),
    ("free-shipping", "1515915625519388267", "bf782fc53ca2b7be", 874110),
    ("layer:prices", "1515915625519388267", "99de2d7d8f1d1eb2", 952050),
    ("holdout", "7", "132b760238f00a26", 456486),
    ("été", "7", "fc75a3b29e040093", 555219),
    ("été", "99999999999999999999", "ec83f8448a3f9b1b", 977691),
]
"""They never change: shops compute the same in other languages."""


@pytest.mark.parametrize(("salt", "user_id", "digits", "slot"), VECTORS)
def test_a_vector_never_changes(salt: str, user_id: str, digits: str, slot: int) -> None:
    assert f"{hash_of(salt, user_id):016x}" == digits
    assert slot_of(salt, user_id) == slot
    assert slots_of(salt, [user_id, "1"])[0] == slot


def test_the_page_has_the_same_vectors() -> None:
    page = (ROOT / "docs" / "experiments.md").read_text()
    rows = re.findall(r"^\| `(.+?)` \| `(\d+)` \| `([0-9a-f]{16})` \| (\d+) \|$", page, re.M)
    assert [(salt, user, digits, int(slot)) for salt, user, digits, slot in rows] == VECTORS


def test_ranges_share_all_slots_out_in_proportion_to_the_weights() -> None:
    assert (
        VariantRange("control", 0, 500_000),
        VariantRange("treatment", 500_000, SLOTS),
    ) == HALVES
    thirds = allocate({"a": 1, "b": 1, "c": 1})
    assert [(item.start, item.end) for item in thirds] == [
        (0, 333_333),
        (333_333, 666_666),
        (666_666, SLOTS),
    ]


@pytest.mark.parametrize("weights", [{}, {"a": 0, "b": 1}, {"a": -1}], ids=str)
def test_weights_without_a_meaning_are_refused(weights: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="weight above 0"):
        allocate(weights)


@pytest.mark.parametrize(("start", "traffic"), [(0.5, 0.6), (-0.1, 0.5), (0.0, 0.0)])
def test_a_range_outside_of_its_layer_is_refused(start: float, traffic: float) -> None:
    with pytest.raises(ValueError, match="is not in 0-1"):
        layer_share("prices", Fraction(str(start)), Fraction(str(traffic)))


def test_slots_are_uniform() -> None:
    counts = [0] * 100
    for slot in slots_of("checkout-2026", USERS):
        counts[slot * 100 // SLOTS] += 1
    assert chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize(
    ("salt", "other"), [("checkout-2026", "checkout-2027"), ("a", "b"), ("layer:a", "a")]
)
def test_two_salts_are_independent(salt: str, other: str) -> None:
    table = [[0] * 10 for _ in range(10)]
    for one, two in zip(slots_of(salt, USERS), slots_of(other, USERS), strict=True):
        table[one * 10 // SLOTS][two * 10 // SLOTS] += 1
    assert chi2_contingency(table).pvalue > 0.001


@pytest.mark.parametrize("buckets", [4, 32])
def test_a_salt_is_independent_of_the_buckets_of_the_lake(buckets: int) -> None:
    table = [[0, 0] for _ in range(buckets)]
    allocation = Allocation("checkout-2026", HALVES)
    for user, answer in zip(USERS, assign_many(allocation, USERS), strict=True):
        table[bucket_of(user, buckets)][answer.variant == "treatment"] += 1
    assert chi2_contingency(table).pvalue > 0.001


def test_crc32_would_not_be_independent_of_the_buckets() -> None:
    """The test above can fail: it does with the hash that cuts the buckets."""
    table = [[0, 0] for _ in range(4)]
    for user in USERS:
        table[bucket_of(user, 4)][bucket_of(f"checkout-2026:{user}", 2)] += 1
    assert chi2_contingency(table).pvalue < 0.001


def test_nobody_changes_variant_when_traffic_is_raised() -> None:
    before: dict[str, str] = {}
    for traffic in ("0.05", "0.2", "0.5", "0.8"):
        layer = layer_share("prices", Fraction("0.2"), Fraction(traffic))
        answers = assign_many(Allocation("s", HALVES, layer), USERS)
        now = {
            user: answer.variant
            for user, answer in zip(USERS, answers, strict=True)
            if answer.variant
        }
        assert before.items() <= now.items()
        assert abs(len(now) / len(USERS) - float(traffic)) < 0.01
        before = now


def test_experiments_of_one_layer_exclude_each_other_and_those_of_two_do_not() -> None:
    first, second, elsewhere = (
        Allocation(salt, HALVES, layer_share(layer, Fraction(start), Fraction("0.5")))
        for salt, layer, start in (("a", "prices", "0"), ("b", "prices", "0.5"), ("c", "mail", "0"))
    )
    counts = dict.fromkeys(product((True, False), repeat=2), 0)
    answers = (assign_many(allocation, USERS) for allocation in (first, second, elsewhere))
    for one, two, three in zip(*answers, strict=True):
        assert (one.variant is None) != (two.variant is None)
        assert Outcome.OUT_OF_RANGE in (one.outcome, two.outcome)
        counts[one.variant is not None, three.variant is not None] += 1
    table = [[counts[True, True], counts[True, False]], [counts[False, True], counts[False, False]]]
    assert chi2_contingency(table).pvalue > 0.001


def test_the_holdout_comes_before_everything() -> None:
    holdout = Share("holdout-2026", 0, SLOTS // 10)
    allocation = Allocation("a", HALVES, layer_share("p", Fraction(0), Fraction("0.5")), holdout)
    answers = assign_many(allocation, USERS)
    held = [slot < SLOTS // 10 for slot in slots_of("holdout-2026", USERS)]
    assert [answer.outcome == Outcome.HOLDOUT for answer in answers] == held
    assert all(answer.variant is None for answer in answers if answer.outcome != Outcome.ASSIGNED)


def by_the_definition(allocation: Allocation, user: str) -> Assignment:
    """Follow the five steps of the definition, one customer and one hash after the other."""
    holdout, layer = allocation.holdout, allocation.layer
    if holdout and holdout.start <= slot_of(holdout.salt, user) < holdout.end:
        return Assignment(None, Outcome.HOLDOUT)
    if layer and not layer.start <= slot_of(layer.salt, user) < layer.end:
        return Assignment(None, Outcome.OUT_OF_RANGE)
    slot = slot_of(allocation.salt, user)
    (variant,) = [item.variant for item in allocation.ranges if item.start <= slot < item.end]
    return Assignment(variant, Outcome.ASSIGNED)


@pytest.mark.parametrize("holdout", [None, Share("h", 0, SLOTS // 10), Share("h", 0, SLOTS)])
@pytest.mark.parametrize("traffic", [None, "0.000001", "0.3", "0.8", "1"])
def test_many_customers_get_what_the_definition_says_about_each(
    holdout: Share | None, traffic: str | None
) -> None:
    start = Fraction("0" if traffic == "1" else "0.2")
    layer = layer_share("p", start, Fraction(traffic)) if traffic else None
    ranges = allocate({"a": 1, "b": 2, "c": 4})
    allocation = Allocation("a", ranges, layer, holdout)
    users = USERS[: CHUNK + 100]
    expected = [by_the_definition(allocation, user) for user in users]
    assert assign_many(allocation, users) == expected
    assert [assign(allocation, user) for user in users[:50]] == expected[:50]
    assert assign_many(allocation, []) == []


def test_an_allocation_survives_json() -> None:
    full = Allocation("a", HALVES, layer_share("p", Fraction(0), Fraction(1)), Share("h", 0, 5))
    for allocation in (full, Allocation("a", HALVES)):
        assert Allocation.from_json(allocation.to_json()) == allocation
