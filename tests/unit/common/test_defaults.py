"""The files that repeat a default agree with `common.defaults`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from customer_profiles.common import defaults
from scripts.settings_reference import example_sections, read_settings
from tests.support import ROOT

PORTS = dict(defaults.PORTS)
EXAMPLE = {name: value for entries in example_sections().values() for name, value in entries}
COMPOSE_FILES = ("docker-compose.yml", "docker-compose.codespaces.yml")
IN_CONTAINERS = {
    "SPARK_WORKER_MEMORY": defaults.CONTAINER_SPARK_WORKER_MEMORY,
    "SPARK_EXECUTOR_MEMORY": defaults.CONTAINER_SPARK_EXECUTOR_MEMORY,
    "SPARK_CONTAINER_MEMORY": defaults.CONTAINER_SPARK_MEMORY,
    # Containers reach each other by name.
    "SPARK_MASTER_URL": f"spark://spark-master:{PORTS['SPARK_MASTER_PORT']}",
}
WRITTEN_BY_SETUP = {"MINIO_ROOT_USER": defaults.MINIO_USER, "MINIO_ROOT_PASSWORD": ""}


def compose_defaults(file: str) -> list[tuple[str, str]]:
    return re.findall(r"(?<!\$)\$\{(\w+):-([^}]*)\}", (ROOT / file).read_text())


def test_the_example_names_every_setting_and_no_other() -> None:
    assert EXAMPLE.keys() == read_settings().keys()


@pytest.mark.parametrize("name", EXAMPLE)
def test_the_example_has_the_default_of_each_setting(name: str) -> None:
    expected = WRITTEN_BY_SETUP.get(name, read_settings()[name].default)
    assert EXAMPLE[name] == expected


@pytest.mark.parametrize("file", COMPOSE_FILES)
def test_compose_has_the_default_of_each_setting(file: str) -> None:
    settings = read_settings()
    compared = [entry for entry in compose_defaults(file) if entry[0] in settings and entry[1]]
    assert compared
    for name, default in compared:
        assert default == IN_CONTAINERS.get(name, settings[name].default), name


def test_compose_publishes_each_port_under_its_setting() -> None:
    published = re.findall(
        r"127\.0\.0\.1:\$\{(\w+):-(\d+)\}:(\d+)", (ROOT / "docker-compose.yml").read_text()
    )
    assert published
    for name, default, container_port in published:
        assert int(default) == int(container_port) == PORTS[name]


def test_the_port_script_knows_every_port() -> None:
    text = (ROOT / "configure-ports.sh").read_text()
    entries = re.findall(r"^  ([A-Z_]+_PORT)=(\d+)$", text, re.M)
    assert {name: int(port) for name, port in entries} == PORTS


def shell_scripts() -> list[Path]:
    return [
        *ROOT.glob("*.sh"),
        *ROOT.glob("scripts/**/*.sh"),
        *ROOT.glob("deploy/**/*.sh"),
    ]


@pytest.mark.parametrize("script", shell_scripts(), ids=lambda path: path.name)
def test_a_shell_script_repeats_defaults_correctly(script: Path) -> None:
    settings = read_settings()
    text = script.read_text()
    for name, default in re.findall(r"\$\{([A-Z_]+):-([^}$]+)\}", text):
        if name in settings:
            assert default == settings[name].default, name
    # A default of a variable that holds a port: ${port:-5601}.
    for default in re.findall(r"\$\{port:-(\d+)\}", text):
        assert int(default) in PORTS.values()


def test_setup_writes_the_default_user() -> None:
    text = (ROOT / "setup-environment.sh").read_text()
    assert f"env_default MINIO_ROOT_USER {defaults.MINIO_USER}\n" in text


def test_the_default_segments_file_exists() -> None:
    assert (ROOT / defaults.SEGMENTS).is_file()


def test_no_two_servers_have_the_same_default_port() -> None:
    assert len(set(PORTS.values())) == len(PORTS)
