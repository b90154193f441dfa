"""Experiments and events that the tests of the analysis share."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from customer_profiles.experimentation.definition import (
    Eligibility,
    Experiment,
    Guardrail,
    Kind,
    Method,
    Metric,
    Variant,
)
from customer_profiles.experimentation.exposure_frame import EXPOSURE_SCHEMA
from customer_profiles.profiles.schema import PRICE

START = datetime(2020, 1, 10, tzinfo=UTC)
END = START + timedelta(days=14)
EXPERIMENT = Experiment(
    name="banner",
    hypothesis="A banner makes more customers buy.",
    salt="banner",
    layer="page",
    layer_start=Decimal(0),
    traffic=Decimal(1),
    start=START,
    end=END,
    variants=(Variant("control", 1), Variant("banner", 1)),
    eligible=Eligibility(),
    primary="conversion",
    secondary=("orders", "revenue"),
    guardrails=(Guardrail("sessions", 0.05),),
    minimum_detectable_effect=0.1,
    alpha=0.05,
    power=0.8,
    method=Method.FIXED_HORIZON,
    planned_customers=4_000,
)
METRICS = [
    Metric("conversion", Kind.CONVERSION, 7),
    Metric("sessions", Kind.SESSIONS, 7),
    Metric("orders", Kind.ORDERS, 7),
    Metric("revenue", Kind.REVENUE, 7),
]


def at(days: float) -> datetime:
    """Return a time so many days after the start of the experiment."""
    return START + timedelta(days=days)


def exposures(*rows: tuple[str, str, float]) -> pl.DataFrame:
    """Build exposures out of customer, variant and day."""
    data = [(user, variant, at(day)) for user, variant, day in rows]
    return pl.DataFrame(data, EXPOSURE_SCHEMA, orient="row")


def events(rows: Iterable[tuple[str, str, float, str]]) -> pl.DataFrame:
    """Build events out of customer, type, day and price. Each is a session of its own."""
    data: list[tuple[Any, ...]] = [
        (f"{number:032x}", at(day), kind, None, None, Decimal(price), user, f"s{number}")
        for number, (user, kind, day, price) in enumerate(rows)
    ]
    schema = {
        "event_id": pl.String,
        "event_time": pl.Datetime("us", "UTC"),
        "event_type": pl.String,
        "category_code": pl.String,
        "brand": pl.String,
        "price": PRICE,
        "user_id": pl.String,
        "user_session": pl.String,
    }
    return pl.DataFrame(data, schema, orient="row")
