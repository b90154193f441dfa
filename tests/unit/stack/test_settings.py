"""Settings of the native stack, and the environment of a stack for tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from customer_profiles.common.defaults import PORTS
from stack.errors import StackError
from stack.isolated import isolated_environment
from stack.settings import PORT_NAMES, Settings
from tests.support import ROOT
from tests.unit.stack.helpers import KEYS, settings


def test_all_missing_and_malformed_settings_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(StackError) as failure:
        Settings.from_env({"KAFKA_PORT": "lots", "STACK_HOME": str(tmp_path)})
    for problem in (
        "KAFKA_PORT=lots",
        "MINIO_ROOT_USER is not set",
        "MINIO_ROOT_PASSWORD is not set",
        "KAFKA_PASSWORD is not set",
        "SPARK_AUTH_SECRET is not set",
        "ELASTIC_PASSWORD is not set",
        "make setup",
    ):
        assert problem in str(failure.value)


def test_two_servers_on_one_port_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        StackError, match=r"MINIO_PORT and MINIO_CONSOLE_PORT are both 9000.*--repick"
    ):
        settings(tmp_path, MINIO_CONSOLE_PORT="9000")


def test_no_secret_is_in_the_repr(tmp_path: Path) -> None:
    assert "secret-of" not in repr(settings(tmp_path))


@pytest.mark.parametrize(
    "changes", [{"KAFKA_PASSWORD": "with space"}, {"KAFKA_PASSWORD": "ü"}, {"KAFKA_USER": 'a"b'}]
)
def test_an_account_that_kafka_cannot_read_back_is_refused(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    (name,) = changes
    with pytest.raises(StackError, match=f"{name} (has|is not)"):
        settings(tmp_path, **changes)


def test_every_default_port_is_in_the_example_and_in_the_script() -> None:
    for file in (".env.example", "configure-ports.sh"):
        text = (ROOT / file).read_text()
        for name, port in PORTS.items():
            assert f"{name}={port}" in text


def test_the_settings_decide_the_number_of_spark_workers(tmp_path: Path) -> None:
    assert settings(tmp_path).servers == (
        "kafka",
        "spark-master",
        "spark-worker",
        "minio",
        "elasticsearch",
    )
    more = settings(tmp_path, SPARK_WORKERS="3").servers
    assert more == (
        "kafka",
        "spark-master",
        "spark-worker",
        "spark-worker-2",
        "spark-worker-3",
        "minio",
        "elasticsearch",
    )


def test_an_isolated_environment_has_its_own_ports_and_shares_the_built_servers(
    tmp_path: Path,
) -> None:
    environ = isolated_environment(tmp_path, {**KEYS, "KAFKA_BOOTSTRAP_SERVERS": "elsewhere:9092"})
    chosen = Settings.from_env(environ)
    assert chosen.home == tmp_path
    assert chosen.dist == ROOT / ".stack" / "dist"
    assert len(set(chosen.ports.values())) == len(PORT_NAMES)
    assert environ["KAFKA_BOOTSTRAP_SERVERS"] == ""
    assert environ["REPORTS"] == str(tmp_path / "reports")
