"""What a publisher is, whatever client library it uses."""

from __future__ import annotations

from typing import Protocol

import polars as pl

from ingestion.errors import IngestError

INIT_S = 30.0
COMMIT_S = 120.0
TRANSACTION_S = 60
"""After so long without a commit the broker aborts the transaction of a producer that is gone."""


class Publisher(Protocol):
    """Sends messages that become visible together, or not at all; at work on one source at a time.

    All methods raise an IngestError when the broker does not answer in time, or when another
    publisher has taken over the source.
    """

    def begin(self) -> None:
        """Open a transaction."""

    def send(self, topic: str, keys: pl.Series, values: pl.Series) -> None:
        """Add messages to the open transaction; keys and values are text."""

    def commit(self) -> None:
        """Make everything since `begin` visible; returns once the broker has it."""

    def abort(self) -> None:
        """Drop everything since `begin`."""

    def close(self) -> None:
        """Give back what it holds; the broker drops an open transaction after `TRANSACTION_S`."""


def transactional_id(source: str) -> str:
    """What all publishers of a source share, whatever client they use, so that the newest fences the others."""
    return f"ingest-{source}"


def fenced(source: str) -> IngestError:
    return IngestError(f"Another run has taken over the source {source}; this one has stopped and lost nothing.")


def not_accepted(words: str) -> IngestError:
    return IngestError(
        f"Kafka did not accept a transaction: {words}.\nRun `make status`, then the same command again: "
        "it continues where this run stopped."
    )
