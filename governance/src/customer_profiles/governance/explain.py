"""The events behind each field of a profile: pure functions over one customer's stored events.

Every value is computed here anew from the events that are shown, in another way than
`profiles.aggregate` does. So an explanation that equals the profile also checks the profile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal

import polars as pl

from customer_profiles.common.errors import PipelineError
from customer_profiles.profiles.schema import PROFILE_SCHEMA
from customer_profiles.profiles.segments import Segments

CENT = Decimal("0.01")
_PURCHASE = pl.col("event_type") == "purchase"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a field of a profile has its value."""

    field: str
    value: Any
    """What the events below give: int, Decimal, float, datetime, str or None."""
    definition: str
    """What the field means, in one sentence."""
    events: pl.DataFrame
    """The events that decide, in the order of time: the columns that were given, and `adds`, what
    an event contributes: Int64 or Decimal; null where a value is not a sum."""
    steps: tuple[str, ...] = ()
    """The arithmetic behind the events, or the rules that were tried, one line each."""


def deduplicate(events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split stored events into those that count and those that repeat one of them.

    Of equal events, the one with the least source, row, partition and offset counts, so that the
    answer does not depend on the order in which files are read.

    Args:
        events: `lake.events.EVENT_SCHEMA`, and any further columns.

    Returns:
        The events that count, sorted by `event_time` and `event_id`, and the duplicates.
    """
    place = ["source", "source_row", "kafka_partition", "kafka_offset"]
    ordered = events.sort("event_id", *place, nulls_last=True)
    first = ordered.select(pl.col("event_id").is_first_distinct()).to_series()
    by_time = ["event_time", "event_id"]
    return ordered.filter(first).sort(by_time), ordered.filter(~first).sort(by_time)


def explain(field: str, events: pl.DataFrame, segments: Segments) -> Explanation:
    """Explain one field of a customer's profile.

    Args:
        field: a name in `EXPLAINED`.
        events: the customer's distinct events, as `deduplicate` returns them; at least one.
        segments: the rules for `customer_segment`.

    Raises:
        PipelineError: the field is not one that events decide.
    """
    if field == "customer_segment":
        return _segment(events, segments)
    if field not in _EXPLAINERS:
        raise PipelineError(
            f"{field} is not a field that events decide; these are: {', '.join(EXPLAINED)}"
        )
    return _EXPLAINERS[field](field, events)


def differs(explanation: Explanation, profile: Mapping[str, Any]) -> bool:
    """Tell whether a profile has another value than its events give.

    Args:
        explanation: the field and what the events give.
        profile: the fields of `PROFILE_SCHEMA`, as Python values.
    """
    return bool(profile[explanation.field] != explanation.value)


def _count(definition: str, counted: pl.Expr) -> Callable[[str, pl.DataFrame], Explanation]:
    """Explain a field that counts some events."""

    def explain_count(field: str, events: pl.DataFrame) -> Explanation:
        chosen = events.filter(counted).with_columns(pl.lit(1, pl.Int64).alias("adds"))
        return Explanation(field, chosen.height, definition, chosen)

    return explain_count


def _revenue(field: str, events: pl.DataFrame) -> Explanation:
    chosen, paid = _purchases(events)
    value = paid.quantize(CENT, ROUND_HALF_UP)
    steps = () if value == paid else (f"{paid} rounded half up to the cent is {value}",)
    return Explanation(field, value, "the sum of the prices of all purchases", chosen, steps)


def _average(field: str, events: pl.DataFrame) -> Explanation:
    chosen, paid = _purchases(events)
    definition = "the prices of all purchases divided by their number, to the cent"
    if not chosen.height:
        return Explanation(field, None, definition, chosen, ("There is no purchase, so no value.",))
    value = (paid / chosen.height).quantize(CENT, ROUND_HALF_UP)
    return Explanation(field, value, definition, chosen, (f"{paid} / {chosen.height} = {value}",))


def _rate(field: str, events: pl.DataFrame) -> Explanation:
    purchases = events.filter(_PURCHASE).with_columns(pl.lit(1, pl.Int64).alias("adds"))
    exact = Decimal(100 * purchases.height) / events.height
    value = float(exact.quantize(CENT, ROUND_HALF_UP))
    steps = (f"100 · {purchases.height} purchases / {events.height} events = {value}",)
    return Explanation(field, value, "purchases in percent of all events", purchases, steps)


def _extreme(kind: Literal["first", "last"]) -> Callable[[str, pl.DataFrame], Explanation]:
    def explain_extreme(field: str, events: pl.DataFrame) -> Explanation:
        time = events["event_time"].min() if kind == "first" else events["event_time"].max()
        chosen = _without_sum(events.filter(pl.col("event_time") == time))
        return Explanation(field, time, f"the time of the {kind} event", chosen)

    return explain_extreme


def _favorite(column: str) -> Callable[[str, pl.DataFrame], Explanation]:
    def explain_favorite(field: str, events: pl.DataFrame) -> Explanation:
        values = [value for value in events[column].to_list() if value is not None]
        ranking = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
        winner = ranking[0][0] if ranking else None
        definition = f"the most frequent {column}; the alphabetically first of equal ones"
        steps = tuple(f"{value}: {number} events" for value, number in ranking[:5])
        if len(ranking) > len(steps):
            steps += (f"and {len(ranking) - len(steps)} others with fewer or as many events",)
        chosen = events.filter(pl.col(column).eq_missing(winner) & pl.col(column).is_not_null())
        return Explanation(
            field, winner, definition, _without_sum(chosen), steps or (f"No event has a {column}.",)
        )

    return explain_favorite


def _segment(events: pl.DataFrame, segments: Segments) -> Explanation:
    steps = []
    for rule in segments.rules:
        if rule.field is None:
            steps.append(f"{rule.name}: takes everybody else")
            break
        value = explain(rule.field, events, segments).value
        matches = value >= rule.at_least
        comparison = f"{rule.field} is {value}, at least {rule.at_least} is asked"
        steps.append(f"{rule.name}: {comparison}: {'yes' if matches else 'no'}")
        if matches:
            break
    definition = f"the first rule that matches, in version {segments.version} of the rules"
    return Explanation(
        "customer_segment", rule.name, definition, _without_sum(events.clear()), tuple(steps)
    )


def _purchases(events: pl.DataFrame) -> tuple[pl.DataFrame, Decimal]:
    chosen = events.filter(_PURCHASE).with_columns(pl.col("price").alias("adds"))
    return chosen, sum(chosen["price"].to_list(), Decimal(0))


def _without_sum(events: pl.DataFrame) -> pl.DataFrame:
    return events.with_columns(pl.lit(None, pl.Int64).alias("adds"))


_EXPLAINERS: Mapping[str, Callable[[str, pl.DataFrame], Explanation]] = {
    "total_events": _count("the number of events", pl.lit(True)),
    "total_sessions": _count(
        "the number of sessions; the first event of each adds one",
        pl.col("user_session").is_first_distinct(),
    ),
    "total_purchases": _count("the number of purchases", _PURCHASE),
    "total_product_views": _count("the number of views", pl.col("event_type") == "view"),
    "total_cart_additions": _count(
        "the number of additions to a cart", pl.col("event_type") == "cart"
    ),
    "total_revenue": _revenue,
    "conversion_rate": _rate,
    "avg_order_value": _average,
    "days_active": _count(
        "the number of days (UTC) with an event; the first event of each adds one",
        pl.col("event_time").dt.date().is_first_distinct(),
    ),
    "first_seen": _extreme("first"),
    "last_seen": _extreme("last"),
    "favorite_category": _favorite("category_code"),
    "favorite_brand": _favorite("brand"),
}
NOT_OF_EVENTS = ("user_id", "profile_generated_at", "segments_version")
"""The fields that say whose profile it is and which run made it."""
EXPLAINED = tuple(name for name in PROFILE_SCHEMA if name not in NOT_OF_EVENTS)
"""The fields that events decide, in the order of the profile."""
