"""What the supervisor needs to know about one server."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Server:
    """One process of the stack."""

    name: str
    command: list[str]
    ports: tuple[str, ...]
    """Names of the port settings on which it listens."""
    ready: Callable[[], bool]
    """True once the server answers the protocol that its clients speak."""
    address: str
    """Where a person or a client finds it."""
    prepare: Callable[[], None] = lambda: None
    """Writes configuration and folders; runs before each start and may run again."""
    env: Mapping[str, str] = field(default_factory=dict)
    after: str | None = None
    """A server that has to be ready before this one starts."""
    deadline_s: float = 90.0


def write(path: Path, text: str) -> None:
    """Write a configuration file, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def http_ok(url: str) -> bool:
    """True when a GET on `url` answers 200 within two seconds."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
