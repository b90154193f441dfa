"""The description of one server, from which the supervisor starts and watches it."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Server:
    """One process of the stack."""

    name: str
    command: list[str]
    ports: tuple[str, ...]
    """The port settings that the server listens on."""
    ready: Callable[[], bool]
    """Returns True once the server answers in the protocol of its clients."""
    address: str
    """Where people and clients find the server."""
    prepare: Callable[[], None] = lambda: None
    """Writes configuration and creates folders. Runs before each start and may run again."""
    env: Mapping[str, str] = field(default_factory=dict)
    after: str | None = None
    """The server that has to be ready before this one starts."""
    deadline_s: float = 90.0
    """How long the server may take to become ready."""


def write_config(path: Path, text: str) -> None:
    """Write a configuration file that only its owner can read, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(path)


def http_ok(url: str, headers: Mapping[str, str] = MappingProxyType({})) -> bool:
    """Return whether a GET on `url` answers 200 within two seconds."""
    try:
        request = urllib.request.Request(url, headers=dict(headers))
        with urllib.request.urlopen(request, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
