"""A fake publisher that notes what it is told."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from customer_profiles.kafka import producer
from customer_profiles.kafka.config import KafkaConfig


def record_publications(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Replace publishers; return the list to which they append each call."""
    calls: list[Any] = []

    class Publisher:
        def __init__(self, client: str, _: KafkaConfig, source: str) -> None:
            calls.append((client, source))

        def send(self, topic: str, keys: pl.Series, values: pl.Series) -> None:
            calls.append((topic, keys.to_list(), [json.loads(value) for value in values]))

        def __getattr__(self, name: str) -> Any:
            return lambda: calls.append(name)

    monkeypatch.setattr(producer, "create_publisher", Publisher)
    return calls
