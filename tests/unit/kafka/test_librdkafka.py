"""librdkafka gets whole columns as pointers into Arrow's memory."""

from __future__ import annotations

import ctypes

import polars as pl
import pytest

from customer_profiles.kafka import librdkafka
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.errors import DeliveryError
from customer_profiles.kafka.librdkafka import LibrdkafkaPublisher


def texts(column: pl.Series) -> list[str]:
    """Read the texts that the addresses of a column point at."""
    array, addresses, sizes = librdkafka._addresses(column)
    assert len(array) == len(column)
    return [
        ctypes.string_at(int(address), int(size)).decode()
        for address, size in zip(addresses, sizes, strict=True)
    ]


LONG = pl.Series([f"é number {number}" * (number % 5) for number in range(100)])


@pytest.mark.parametrize(
    "column",
    [
        pl.Series(["a", "", "ü", "a longer text than fits into a view"]),
        LONG[10:20],
        pl.Series([], dtype=pl.String),
        pl.concat([LONG, LONG], rechunk=False),
    ],
    ids=["texts", "a slice of a column", "an empty column", "two chunks"],
)
def test_addresses_point_at_the_texts(column: pl.Series) -> None:
    assert texts(column) == column.to_list()


def test_a_missing_broker_is_an_error_with_the_next_action(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(librdkafka, "INIT_S", 0.1)
    with pytest.raises(DeliveryError, match="make status"):
        LibrdkafkaPublisher(KafkaConfig("127.0.0.1:9"), "nobody.csv")
