"""Settings of the ingestion, read once from `.env` and the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the broker is and where reports go."""

    bootstrap_servers: str
    reports: Path

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings; each has a default that fits the stack."""
        port = environ.get("KAFKA_PORT") or "9092"
        return cls(
            bootstrap_servers=environ.get("KAFKA_BOOTSTRAP_SERVERS") or f"127.0.0.1:{port}",
            reports=Path(environ.get("REPORTS") or "reports"),
        )
