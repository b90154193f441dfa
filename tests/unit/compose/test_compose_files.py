"""What the Compose files and Dockerfiles promise, without an engine."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from stack.install import ELASTICSEARCH_VERSION, MINIO_MODULE
from stack.settings import PORT_DEFAULTS
from tests.support import ROOT

BASE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
CODESPACES = yaml.safe_load((ROOT / "docker-compose.codespaces.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = BASE["services"]
DOCKERFILES = sorted(
    path for path in ROOT.glob("*/**/*ockerfile") if not {".venv", ".stack", "tests"} & set(path.parts)
)
MB = {"m": 1, "g": 1024}


def megabytes(limit: str) -> int:
    found = re.fullmatch(r"(?:\$\{\w+:-)?(\d+)([mg])}?", limit)
    assert found, limit
    return int(found[1]) * MB[found[2]]


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_may_do_no_more_than_it_has_to(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_loopback_and_come_from_the_settings(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        found = re.fullmatch(r"127\.0\.0\.1:\$\{(\w+):-(\d+)}:\d+", port)
        assert found, port
        assert PORT_DEFAULTS.get(found[1], 5601) == int(found[2])


def test_memory_limits_fit_a_codespace() -> None:
    assert sum(megabytes(service["mem_limit"]) for service in SERVICES.values()) < 6.5 * 1024


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if service.get("restart")])
def test_a_server_says_when_it_is_ready(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"]
    assert check["start_interval"] == "1s"


def test_versions_are_pinned_and_those_of_the_native_stack() -> None:
    for name, service in SERVICES.items():
        if "build" not in service:
            assert re.search(r":\d+\.\d+\.\d+$", service["image"]), name
    for name in ("elasticsearch", "kibana"):
        assert SERVICES[name]["image"].endswith(f":{ELASTICSEARCH_VERSION}")
    assert SERVICES["minio"]["build"]["args"]["MINIO_VERSION"] == MINIO_MODULE.partition("@")[2]
    kafka = re.search(r"<artifactId>kafka_2\.13</artifactId>\s*<version>([\d.]+)", _read("stack/recipes/kafka.pom.xml"))
    assert kafka
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka[1]}"


def test_a_secret_has_no_default() -> None:
    text = _read("docker-compose.yml")
    used = set(re.findall(r"\$\{(\w*(?:PASSWORD|KEY|ROOT_USER)\w*)(:?[?-])?", text))
    assert used
    assert {operator for _, operator in used} == {":?"}


def test_every_setting_is_described() -> None:
    described = set(re.findall(r"^#?([A-Z_]+)=", _read(".env.example"), re.M))
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", _read("docker-compose.yml")))
    # Of the callers alone: who they are, and what is said on the command line.
    assert used - described - {"PIPELINE_USER", "REINGEST", "COMPOSE_PROJECT_NAME"} == set()


def test_the_codespaces_file_holds_differences_of_what_is_there() -> None:
    assert set(CODESPACES["services"]) <= set(SERVICES)
    for service in CODESPACES["services"].values():
        assert set(service) <= {"environment", "mem_limit"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_dockerfile_builds_anywhere(path: Any) -> None:
    text = path.read_text()
    # A frontend of its own would have to be fetched.
    assert not re.match(r"#\s*syntax", text)
    assert all(":" in image for image in re.findall(r"^FROM (\S+)", text, re.M))
    assert not re.search(r"https?://", text)
    assert re.search(r"^USER 1000$", text, re.M)
    assert "org.opencontainers.image.licenses" in text
    for install in re.findall(r"pip install[^&]*", text):
        assert "--require-hashes" in install


@pytest.mark.parametrize("application", ["ingestion", "processing"])
def test_an_image_has_the_versions_of_the_lock(application: str) -> None:
    whole = _pinned("requirements.lock")
    part = _pinned(f"{application}/requirements.lock")
    assert part
    assert part <= whole


def _pinned(name: str) -> set[str]:
    return {re.split(r"[ \\;]", line)[0] for line in _read(name).splitlines() if "==" in line and line[0].isalnum()}


def _read(name: str) -> str:
    return (ROOT / name).read_text()
