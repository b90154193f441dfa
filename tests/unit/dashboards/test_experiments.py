"""The server's answer to which variant a customer gets."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message

from customer_profiles.contracts.assignment import Allocation, allocate
from customer_profiles.contracts.experiment import FieldCondition, RegisteredExperiment
from customer_profiles.dashboards.experiments import experiment_routes
from customer_profiles.lake.experiments import ExperimentLake
from tests.support import MemoryObjectStore

EXPERIMENT = RegisteredExperiment(
    "free-shipping",
    Allocation("free-shipping", allocate({"control": 1, "treatment": 1})),
    "2020-11-01T00:00:00+00:00",
    "2020-12-01T00:00:00+00:00",
    ("Interested Shopper",),
    (FieldCondition("total_events", Decimal(3), Decimal(9)),),
)
# The slot of customer 1515915625519388267 is 874110: the second half.
SHOPPER = {"customer_segment": "Interested Shopper", "total_events": 3}


class Profiles:
    def __init__(self, **profiles: dict[str, Any]) -> None:
        self.profiles = {name[1:]: profile for name, profile in profiles.items()}

    def get(self, user_id: str) -> dict[str, Any] | None:
        return self.profiles.get(user_id)


@pytest.fixture
def app() -> ASGIApp:
    store = MemoryObjectStore()
    ExperimentLake(store).register(EXPERIMENT, None)
    profiles = Profiles(
        u1515915625519388267=SHOPPER,
        u7={**SHOPPER, "customer_segment": "Casual Visitor"},
        u8={**SHOPPER, "total_events": 10},
        u9={"customer_segment": "High Value", "experiments": {"free-shipping": "control"}},
    )
    return Starlette(routes=experiment_routes(store, profiles))  # type: ignore[arg-type]


def get(app: ASGIApp, path: str) -> tuple[int, dict[str, Any]]:
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        messages.append(message)

    asyncio.run(app(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in messages[1:])
    return messages[0]["status"], json.loads(body)


@pytest.mark.parametrize(
    ("user_id", "variant", "outcome"),
    [
        ("1515915625519388267", "treatment", "assigned"),
        ("7", None, "not_eligible"),
        ("8", None, "not_eligible"),
        ("9", "control", "assigned"),
        ("1", None, "not_eligible"),
    ],
)
def test_a_customer_gets_the_variant_of_the_registered_experiment(
    app: ASGIApp, user_id: str, variant: str | None, outcome: str
) -> None:
    assert get(app, f"/experiments/free-shipping/customers/{user_id}")[1] == {
        "experiment": "free-shipping",
        "user_id": user_id,
        "variant": variant,
        "outcome": outcome,
    }


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("other/customers/7", "make assign EXPERIMENT=other"),
        ("a.b/customers/7", "no experiment of this name"),
        ("free-shipping/customers/x", "1 to 20 digits"),
        ("free-shipping/customers/" + "9" * 400, "1 to 20 digits"),
    ],
)
def test_what_does_not_exist_is_said(app: ASGIApp, path: str, words: str) -> None:
    status, content = get(app, f"/experiments/{path}")
    assert status == 404
    assert words in content["error"]


def test_the_registered_experiments_are_listed(app: ASGIApp) -> None:
    assert get(app, "/experiments")[1] == {"experiments": ["free-shipping"]}
