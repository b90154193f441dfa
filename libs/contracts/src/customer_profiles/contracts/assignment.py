"""Which variant of an experiment a customer gets: a pure function of salts, ranges and the id.

The definition, so that any other language can implement it:

1. `hash` is the first 8 bytes of SHA-256 over the UTF-8 text `salt:user_id`, as an unsigned integer
   with the most significant byte first.
2. `slot` is `hash mod 1,000,000`.
3. A customer whose slot under the holdout's salt is in the holdout's range is in no experiment.
4. A customer whose slot under the layer's salt is outside of the experiment's range in the layer
   belongs to another experiment of that layer, or to none.
5. The variant is that of the range that has the customer's slot under the experiment's own salt.

A range includes its start and excludes its end. More traffic makes the range in the layer longer
and keeps its start, so nobody changes variant. `docs/experiments.md` has test vectors, which never
change. CRC-32 cuts the lake's buckets, and it is affine: with it, two experiments would not be
independent of each other or of the buckets. SHA-256 has no such structure.
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from itertools import accumulate, compress, repeat
from operator import not_
from typing import Any, NamedTuple, Self

SLOTS = 1_000_000
"""Slots of a salt. A slot is a millionth of the customers."""
CHUNK = 2_000
"""Customers that are hashed at once. Their digests stay in the processor's cache."""
_NUMBERS_OF_DIGEST = 4
"""A digest of SHA-256 is four numbers of 64 bits. The hash is the first of them."""


class Outcome(StrEnum):
    """Why a customer has a variant, or has none."""

    ASSIGNED = "assigned"
    HOLDOUT = "holdout"
    """The customer is in the holdout, which no experiment reaches."""
    NOT_ELIGIBLE = "not_eligible"
    """The customer's profile does not satisfy the conditions (`contracts.experiment`)."""
    OUT_OF_RANGE = "out_of_range"
    """The customer is outside of the experiment's range in its layer."""


class Assignment(NamedTuple):
    """The answer for one customer."""

    variant: str | None
    outcome: Outcome


_IN_HOLDOUT = Assignment(None, Outcome.HOLDOUT)
_OUT_OF_RANGE = Assignment(None, Outcome.OUT_OF_RANGE)


@dataclass(frozen=True, slots=True)
class Share:
    """The customers whose slot under a salt is in a range: a part of a layer, or a holdout."""

    salt: str
    start: int
    end: int

    @property
    def is_whole(self) -> bool:
        """Whether every slot is in the range, so that nobody has to be hashed to know it."""
        return self.start <= 0 and self.end >= SLOTS


@dataclass(frozen=True, slots=True)
class VariantRange:
    """The slots of one variant, under the salt of its experiment."""

    variant: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """All that decides about the variants of an experiment. `allocate` computes the ranges."""

    salt: str
    ranges: tuple[VariantRange, ...]
    """In ascending order. Together they have all slots."""
    layer: Share | None = None
    """The experiment's range in its layer; None if it takes all customers."""
    holdout: Share | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the allocation as JSON values, for the registered definition in the lake."""
        content: dict[str, Any] = {
            "salt": self.salt,
            "ranges": [[item.variant, item.start, item.end] for item in self.ranges],
        }
        for name, share in (("layer", self.layer), ("holdout", self.holdout)):
            if share:
                content[name] = [share.salt, share.start, share.end]
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned.

        Raises:
            KeyError, TypeError, ValueError: it is no allocation.
        """
        ranges = tuple(
            VariantRange(str(variant), int(start), int(end))
            for variant, start, end in content["ranges"]
        )
        shares = [
            Share(str(share[0]), int(share[1]), int(share[2])) if share else None
            for share in (content.get("layer"), content.get("holdout"))
        ]
        return cls(str(content["salt"]), ranges, *shares)


def layer_share(layer: str, start: Fraction, traffic: Fraction) -> Share:
    """Return a range in a layer.

    Args:
        layer: the name of the layer. Its salt is `layer:` and the name.
        start: where the range starts, from 0 to 1.
        traffic: how long it is, above 0.

    Raises:
        ValueError: the range ends beyond the layer.
    """
    if start < 0 or traffic <= 0 or start + traffic > 1:
        raise ValueError(f"the range from {float(start)} of length {float(traffic)} is not in 0-1")
    return Share(f"layer:{layer}", int(start * SLOTS), int((start + traffic) * SLOTS))


def allocate(weights: Mapping[str, int]) -> tuple[VariantRange, ...]:
    """Cut the slots into the ranges of variants, in proportion to their weights.

    A range ends at the sum of the weights so far, divided by the sum of all, times `SLOTS`, without
    its fraction.

    Args:
        weights: the weight of each variant, in the order of the file; above 0.

    Raises:
        ValueError: there is no variant, or a weight is not above 0.
    """
    if not weights or any(weight <= 0 for weight in weights.values()):
        raise ValueError("every variant needs a weight above 0")
    total = sum(weights.values())
    bounds = [reached * SLOTS // total for reached in accumulate(weights.values(), initial=0)]
    return tuple(map(VariantRange, weights, bounds, bounds[1:]))


def hash_of(salt: str, user_id: str) -> int:
    """Return the first 64 bits of SHA-256 over `salt:user_id`, most significant byte first."""
    digest = hashlib.sha256(f"{salt}:{user_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def slot_of(salt: str, user_id: str) -> int:
    """Return the slot of a customer under a salt, from 0 to `SLOTS` - 1."""
    return hash_of(salt, user_id) % SLOTS


def slots_of(salt: str, user_ids: Sequence[str]) -> list[int]:
    """Return the slots of many customers: `slot_of` for each, some three times as fast."""
    slots: list[int] = []
    for part in _chunks(user_ids):
        slots += [number % SLOTS for number in _hashes_of(salt, part)]
    return slots


def _hashes_of(salt: str, user_ids: Sequence[str]) -> Sequence[int]:
    """Return `hash_of` for each of some customers."""
    sha256, prefix = hashlib.sha256, f"{salt}:".encode()
    digests = b"".join([sha256(prefix + user_id.encode()).digest() for user_id in user_ids])
    numbers = array("Q", digests)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers[::_NUMBERS_OF_DIGEST]


def assign(allocation: Allocation, user_id: str) -> Assignment:
    """Return the variant of one customer, and why."""
    return assign_many(allocation, [user_id])[0]


def assign_many(allocation: Allocation, user_ids: Iterable[str]) -> list[Assignment]:
    """Return the variants of many customers, in their order: `assign` for each.

    It computes no hash that cannot matter: a customer in the holdout or outside of the range in the
    layer needs no slot of the experiment, and a range that is the whole layer has everybody.
    """
    users = list(user_ids)
    answers: list[Assignment] = []
    for part in _chunks(users):
        answers += _assign_outside_holdout(allocation, part)
    return answers


def _assign_outside_holdout(allocation: Allocation, users: Sequence[str]) -> Iterable[Assignment]:
    if allocation.holdout is None:
        return _assign_in_layer(allocation, users)
    held = _are_in(allocation.holdout, users)
    others = list(compress(users, map(not_, held)))
    return _merge(held, repeat(_IN_HOLDOUT), _assign_in_layer(allocation, others))


def _assign_in_layer(allocation: Allocation, users: Sequence[str]) -> Iterable[Assignment]:
    if allocation.layer is None or allocation.layer.is_whole:
        return _assign_by_slot(allocation, users)
    inside = _are_in(allocation.layer, users)
    insiders = list(compress(users, inside))
    return _merge(inside, _assign_by_slot(allocation, insiders), repeat(_OUT_OF_RANGE))


def _assign_by_slot(allocation: Allocation, users: Sequence[str]) -> Iterable[Assignment]:
    """Return the answers by the experiment's own ranges alone."""
    starts = [item.start for item in allocation.ranges]
    by_range = [Assignment(item.variant, Outcome.ASSIGNED) for item in allocation.ranges]
    slots = [number % SLOTS for number in _hashes_of(allocation.salt, users)]
    return [by_range[bisect_right(starts, slot) - 1] for slot in slots]


def _are_in(share: Share, users: Sequence[str]) -> list[bool]:
    """Return for each customer whether the slot under the share's salt is in its range."""
    start, end = share.start, share.end
    return [start <= number % SLOTS < end for number in _hashes_of(share.salt, users)]


def _merge(
    choose: Iterable[bool], yes: Iterable[Assignment], no: Iterable[Assignment]
) -> Iterable[Assignment]:
    """Yield the next of `yes` for each true value, and the next of `no` for each other one."""
    if_true, if_false = iter(yes), iter(no)
    return [next(if_true) if chosen else next(if_false) for chosen in choose]


def _chunks(user_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(user_ids), CHUNK):
        yield user_ids[start : start + CHUNK]
