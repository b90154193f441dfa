"""Settings of the ingestion, read once from `.env` and the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ingestion.errors import IngestError
from ingestion.sources import BLOCK_BYTES

MAX_BLOCK_MB = 64
"""More than a broker takes within the time of a transaction, and 45 times that in memory."""
CLIENTS = ("confluent-kafka", "kafka-python")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the broker is and where reports go."""

    bootstrap_servers: str
    reports: Path
    max_rejected: float
    """The share of rejected rows above which a run stops."""
    keep_duplicates: bool
    reingest: bool
    """Send a source again from its beginning."""
    block_bytes: int
    """How much text one transaction holds."""
    client: str
    """The library that publishes: one of `CLIENTS`."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings; each has a default that fits the stack.

        Raises:
            IngestError: a value is malformed.
        """
        percent = (environ.get("MAX_REJECTED") or "5").removesuffix("%").strip()
        if not re.fullmatch(r"\d{1,3}(\.\d+)?", percent) or float(percent) > 100:
            raise IngestError(
                f"MAX_REJECTED={percent} is no percentage from 0 to 100.\nSet it in .env or leave it out."
            )
        block = environ.get("BLOCK_MB") or str(BLOCK_BYTES / 1024 / 1024)
        if not re.fullmatch(r"\d{1,3}(\.\d+)?", block) or not 0.01 <= float(block) <= MAX_BLOCK_MB:
            raise IngestError(
                f"BLOCK_MB={block} is no number from 0.01 to {MAX_BLOCK_MB}.\nSet it in .env or leave it out."
            )
        client = environ.get("KAFKA_CLIENT") or CLIENTS[0]
        if client not in CLIENTS:
            raise IngestError(
                f"KAFKA_CLIENT={client} is none of {', '.join(CLIENTS)}.\nSet it in .env or leave it out."
            )
        port = environ.get("KAFKA_PORT") or "9092"
        return cls(
            bootstrap_servers=environ.get("KAFKA_BOOTSTRAP_SERVERS") or f"127.0.0.1:{port}",
            reports=Path(environ.get("REPORTS") or "reports"),
            max_rejected=float(percent) / 100,
            keep_duplicates=_is_set(environ.get("KEEP_DUPLICATES", "")),
            reingest=_is_set(environ.get("REINGEST", "")),
            block_bytes=round(float(block) * 1024 * 1024),
            client=client,
        )


def _is_set(text: str) -> bool:
    return text.strip().lower() not in ("", "0", "no", "false")
