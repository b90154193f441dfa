"""Kafka's configuration: both listeners ask for the account, in a file for its owner alone."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from stack import kafka as kafka_module
from stack.jvm import Jvm
from stack.kafka import kafka
from tests.unit.stack.helpers import KEYS, settings


@pytest.fixture
def properties(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setattr(kafka_module, "_format_storage", lambda *_: None)
    server = kafka(settings(tmp_path), Jvm(Path("/java"), 21, has_vector_module=True))
    server.prepare()
    assert not [part for part in server.command if KEYS["KAFKA_PASSWORD"] in part]
    path = tmp_path / "config" / "kafka" / "server.properties"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_every_listener_asks_for_the_account(properties: dict[str, str]) -> None:
    names = [listener.split("://")[0] for listener in properties["listeners"].split(",")]
    protocols = dict(
        entry.split(":") for entry in properties["listener.security.protocol.map"].split(",")
    )
    assert set(protocols) == set(names) == {"CLIENT", "CONTROLLER"}
    assert set(protocols.values()) == {"SASL_PLAINTEXT"}
    for name in names:
        login = properties[f"listener.name.{name.lower()}.plain.sasl.jaas.config"]
        assert f'user_profiles="{KEYS["KAFKA_PASSWORD"]}"' in login


@pytest.mark.parametrize(
    ("password", "written"),
    [
        ("plain", '"plain"'),
        ('quo"tes', r'"quo\\"tes"'),
        ("back\\slash", r'"back\\\\slash"'),
        ("${x};=#", '"${x};=#"'),
    ],
)
def test_a_password_is_written_so_that_kafka_reads_it_back(password: str, written: str) -> None:
    assert f"password={written} " in kafka_module._login("profiles", password)
