"""Settings of the ingestion, read once from `.env` and the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ingestion.errors import IngestError


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
        port = environ.get("KAFKA_PORT") or "9092"
        return cls(
            bootstrap_servers=environ.get("KAFKA_BOOTSTRAP_SERVERS") or f"127.0.0.1:{port}",
            reports=Path(environ.get("REPORTS") or "reports"),
            max_rejected=float(percent) / 100,
            keep_duplicates=_is_set(environ.get("KEEP_DUPLICATES", "")),
            reingest=_is_set(environ.get("REINGEST", "")),
        )


def _is_set(text: str) -> bool:
    return text.strip().lower() not in ("", "0", "no", "false")
