"""An explanation as text for people, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl

from customer_profiles.governance.customers import Customer
from customer_profiles.governance.explain import Explanation

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 50
"""Events of a field that are printed; JSON has all of them."""


def print_customer(customer: Customer, duplicates: pl.DataFrame, console: Console) -> None:
    """Print which events a customer has, and which of them repeat others."""
    distinct = customer.events.height - duplicates.height
    console.print(
        f"Customer {customer.user_id}, bucket {customer.bucket}, through batch "
        f"{customer.through_batch}: {distinct:,} events in {customer.events['object'].n_unique():,}"
        " objects of the lake"
    )
    runs = customer.events.filter(pl.col("landed_by").is_not_null())
    for batch, since in runs.select("first_batch", "landed_by").unique().sort("first_batch").rows():
        console.print(f"  batch {batch} was landed by the run of {since}")
    if duplicates.height:
        console.print(f"{duplicates.height:,} more events repeat one of these and do not count:")
        for event in duplicates.head(SHOWN).iter_rows(named=True):
            console.print(f"  {_place(event)}")


def print_explanation(explanation: Explanation, console: Console) -> None:
    """Print a field: its value, its meaning, the events that decide, and the arithmetic."""
    console.print(
        f"\n{explanation.field} = {_text(explanation.value)}: {explanation.definition}",
        style="bold",
    )
    for event in explanation.events.head(SHOWN).iter_rows(named=True):
        adds = "" if event["adds"] is None else f"+{event['adds']}"
        console.print(f"  {adds:>12}  {_place(event)}")
    if (more := explanation.events.height - SHOWN) > 0:
        console.print(f"  and {more:,} more events; FORMAT=json has all of them")
    if explanation.events.height and explanation.events["adds"].null_count() == 0:
        console.print(f"  {explanation.events['adds'].sum():>13}  together")
    for step in explanation.steps:
        console.print(f"  {step}")


def to_json(
    customer: Customer,
    duplicates: pl.DataFrame,
    explanations: Sequence[Explanation],
    wrong: Sequence[str],
) -> dict[str, Any]:
    """Return everything as JSON values.

    Args:
        customer: the customer.
        duplicates: the events that repeat others.
        explanations: the fields that were asked for.
        wrong: the fields whose stored value is another one.
    """
    return {
        "user_id": customer.user_id,
        "bucket": customer.bucket,
        "through_batch": customer.through_batch,
        "fields": [
            {
                "field": explanation.field,
                "value": _json(explanation.value),
                "definition": explanation.definition,
                "equals_profile": explanation.field not in wrong,
                "steps": list(explanation.steps),
                "events": _records(explanation.events),
            }
            for explanation in explanations
        ],
        "duplicates": _records(duplicates),
    }


def _records(events: pl.DataFrame) -> list[dict[str, Any]]:
    return [
        {name: _json(value) for name, value in event.items()}
        for event in events.iter_rows(named=True)
    ]


def _place(event: Mapping[str, Any]) -> str:
    return (
        f"{_text(event['event_time'])}  {event['event_type']:8}  {event['price']:>12}  "
        f"{_text(event['source'])}:{_text(event['source_row'])}  "
        f"raw_events {event['kafka_partition']}:{event['kafka_offset']}  batch {_batch(event)}"
    )


def _batch(event: Mapping[str, Any]) -> str:
    first, last = event["first_batch"], event["last_batch"]
    return str(first) if first == last else f"{first}-{last}"


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="auto").replace("+00:00", "Z")
    return "-" if value is None else str(value)


def _json(value: object) -> object:
    if isinstance(value, datetime | date):
        return _text(value)
    return str(value) if isinstance(value, Decimal) else value
