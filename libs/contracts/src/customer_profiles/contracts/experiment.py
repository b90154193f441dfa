"""An experiment as the lake has it registered: all that decides about one customer's variant.

Whoever tells which variant a customer gets needs this record and the customer's profile,
and nothing else of the project. The statistics of the experiment are no part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Self

from customer_profiles.contracts.assignment import Allocation, Assignment, Outcome, assign


@dataclass(frozen=True, slots=True)
class FieldCondition:
    """A field of the profile is at least, at most, or both."""

    field: str
    at_least: Decimal | None = None
    at_most: Decimal | None = None

    def holds(self, profile: Mapping[str, Any]) -> bool:
        """Return whether a profile satisfies the condition. A missing value does not."""
        try:
            value = Decimal(str(profile.get(self.field)))
        except InvalidOperation:
            return False
        return (self.at_least is None or value >= self.at_least) and (
            self.at_most is None or value <= self.at_most
        )


@dataclass(frozen=True, slots=True)
class RegisteredExperiment:
    """An experiment that customers are assigned to."""

    name: str
    allocation: Allocation
    start: str
    """ISO 8601, as is `end`. Assignment does not depend on them; exposures outside do not count."""
    end: str
    segments: tuple[str, ...] = ()
    """The segments that can take part. None of them means that all can."""
    conditions: tuple[FieldCondition, ...] = ()
    definition: str = ""
    """The text of the file."""

    def is_eligible(self, profile: Mapping[str, Any] | None) -> bool:
        """Return whether a customer can take part.

        Args:
            profile: the customer's profile as of now; None if there is none. Such a customer can
                take part if the experiment has no condition.
        """
        if profile is None:
            return not (self.segments or self.conditions)
        in_segment = not self.segments or profile.get("customer_segment") in self.segments
        return in_segment and all(condition.holds(profile) for condition in self.conditions)

    def assign(self, user_id: str, profile: Mapping[str, Any] | None) -> Assignment:
        """Return the variant of a customer, and why.

        Args:
            user_id: the customer.
            profile: the customer's profile as of now; None if there is none. A variant that was
                published in it stays, even if the customer is no longer eligible.
        """
        published = (profile or {}).get("experiments")
        if isinstance(published, Mapping) and self.name in published:
            return Assignment(str(published[self.name]), Outcome.ASSIGNED)
        if not self.is_eligible(profile):
            return Assignment(None, Outcome.NOT_ELIGIBLE)
        return assign(self.allocation, user_id)

    def to_json(self) -> dict[str, Any]:
        """Return the content of the registered object."""
        conditions = [
            [item.field, *(None if bound is None else str(bound) for bound in bounds)]
            for item in self.conditions
            for bounds in [(item.at_least, item.at_most)]
        ]
        return {
            "name": self.name,
            "allocation": self.allocation.to_json(),
            "start": self.start,
            "end": self.end,
            "segments": list(self.segments),
            "conditions": conditions,
            "definition": self.definition,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned.

        Raises:
            KeyError, TypeError, ValueError: it is no such record.
        """
        conditions = tuple(
            FieldCondition(
                str(field), *(None if bound is None else _number(bound) for bound in bounds)
            )
            for field, *bounds in content["conditions"]
        )
        return cls(
            name=str(content["name"]),
            allocation=Allocation.from_json(content["allocation"]),
            start=str(content["start"]),
            end=str(content["end"]),
            segments=tuple(map(str, content["segments"])),
            conditions=conditions,
            definition=str(content["definition"]),
        )


def _number(text: Any) -> Decimal:
    try:
        return Decimal(str(text))
    except InvalidOperation as error:
        raise ValueError(f"{text} is no number") from error
