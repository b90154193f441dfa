"""Checks of the Compose files and Dockerfiles that need no Docker engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from customer_profiles.common.defaults import PORTS
from stack.elasticsearch_build import ELASTICSEARCH_VERSION
from stack.minio_build import MINIO_MODULE
from tests.support import ROOT

BASE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
CODESPACES = yaml.safe_load((ROOT / "docker-compose.codespaces.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = BASE["services"]
DOCKERFILES = sorted(
    path
    for path in ROOT.glob("*/**/*ockerfile")
    if not {".venv", ".stack", "tests"} & set(path.parts)
)
MB = {"m": 1, "g": 1024}


def megabytes(limit: str) -> int:
    match = re.fullmatch(r"(?:\$\{\w+:-)?(\d+)([mg])}?", limit)
    assert match, limit
    return int(match[1]) * MB[match[2]]


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_no_unneeded_privileges(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_loopback_and_come_from_the_settings(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        match = re.fullmatch(r"127\.0\.0\.1:\$\{(\w+):-(\d+)}:\d+", port)
        assert match, port
        assert PORTS[match[1]] == int(match[2])


def test_memory_limits_fit_a_codespace() -> None:
    watching = {name for name, each in SERVICES.items() if each.get("profiles") == ["monitoring"]}
    limits = {name: megabytes(service["mem_limit"]) for name, service in SERVICES.items()}
    assert sum(limits[name] for name in limits.keys() - watching) < 6.5 * 1024
    assert sum(limits[name] for name in watching) <= 896


@pytest.mark.parametrize(
    "name", [name for name, service in SERVICES.items() if service.get("restart")]
)
def test_a_server_has_a_health_check_that_starts_early(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"]
    assert check["start_interval"] == "1s"


def test_versions_are_pinned_and_match_the_native_stack() -> None:
    for name, service in SERVICES.items():
        if "build" not in service:
            assert re.search(r":v?\d+\.\d+\.\d+@", service["image"]), name
    for name in ("elasticsearch", "kibana"):
        assert f":{ELASTICSEARCH_VERSION}@" in SERVICES[name]["image"]
    assert SERVICES["minio"]["build"]["args"]["MINIO_VERSION"] == MINIO_MODULE.partition("@")[2]
    kafka = re.search(
        r"<artifactId>kafka_2\.13</artifactId>\s*<version>([\d.]+)",
        _read("stack/recipes/kafka.pom.xml"),
    )
    assert kafka
    assert SERVICES["kafka"]["image"].startswith(f"apache/kafka:{kafka[1]}@")


def test_an_image_is_pinned_by_its_tag_and_its_digest() -> None:
    images = [service["image"] for service in SERVICES.values()]
    images += [
        image
        for path in DOCKERFILES
        for image in re.findall(r"^FROM (?:--\S+ )*(\S+)", path.read_text(), re.M)
    ]
    pulled = {image for image in images if not image.endswith(":local")}
    unpinned = {
        image
        for image in pulled
        if not re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", image)
    }
    assert len(pulled) >= 6
    assert not unpinned
    # One tag has one digest everywhere.
    assert len({image.partition("@")[0] for image in pulled}) == len(pulled)


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")))
def test_an_action_is_pinned_by_its_commit(path: Path) -> None:
    text = path.read_text()
    used = re.findall(r"uses: (.*)", text)
    assert used
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in used)
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in text
    # Nobody's title or branch name becomes part of a command.
    assert not re.search(r"\$\{\{\s*github\.(?:event\.|head_ref)(?!_name)", text)
    for command in re.findall(r"pip install .*", text):
        assert "--require-hashes --no-deps" in command


def test_a_container_may_start_a_bounded_number_of_processes() -> None:
    assert all(0 < service["pids_limit"] <= 2048 for service in SERVICES.values())


def test_only_images_that_write_their_configuration_have_a_writable_file_system() -> None:
    writable = {name for name, service in SERVICES.items() if not service.get("read_only")}
    assert writable == {"kafka", "elasticsearch", "kibana"}


def test_a_job_mounts_data_and_reports_alone() -> None:
    for name in ("ingestion", "processing"):
        assert SERVICES[name]["volumes"] == [
            "./data:/project/data:ro",
            "./reports:/project/reports",
        ]
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    # Nothing that has .env in it.
    assert not [mount for mount in mounts if mount.split(":")[0] in (".", "./", "..")]


def test_a_container_reaches_only_what_it_needs() -> None:
    networks = {name: set(service["networks"]) for name, service in SERVICES.items()}
    assert {name for name, network in BASE["networks"].items() if network} == {
        *("events", "stores", "spark")
    }
    assert all(
        BASE["networks"][name] == {"internal": True} for name in ("events", "stores", "spark")
    )

    def reached_by(name: str) -> set[str]:
        return {other for other in networks if networks[other] & networks[name]} - {name}

    assert reached_by("ingestion") == {
        *("kafka", "setup-topics", "spark-worker", "processing", "monitoring")
    }
    assert "kafka" not in reached_by("setup-stores")
    assert reached_by("kibana") == {"elasticsearch", "setup-dashboards"}
    # What parses foreign data cannot send anything outside.
    for name in ("ingestion", "processing", "spark-worker"):
        assert networks[name] <= {"events", "stores", "spark"}
    # A published port needs a network that is not internal.
    for name, service in SERVICES.items():
        if "ports" in service:
            assert networks[name] & {"published", "kibana"}


def test_only_the_set_up_knows_the_accounts_that_may_do_anything() -> None:
    roots = ("${MINIO_ROOT_PASSWORD", "${ELASTIC_PASSWORD")
    knowing = {
        name
        for name, service in SERVICES.items()
        if any(str(value).startswith(roots) for value in service.get("environment", {}).values())
    }
    # The servers themselves, what creates the other accounts, and the import into Kibana.
    assert knowing == {"minio", "elasticsearch", "setup-stores", "setup-dashboards"}


def test_spark_and_kafka_ask_for_their_secrets_in_containers() -> None:
    for name in ("spark-master", "spark-worker"):
        options = SERVICES[name]["environment"]["SPARK_DAEMON_JAVA_OPTS"]
        assert "-Dspark.authenticate=true" in options
        assert "-Dspark.master.rest.enabled=false" in options
        assert "-Dspark.ui.killEnabled=false" in options
        # A command line is public.
        assert "SECRET" not in options
        assert SERVICES[name]["environment"]["_SPARK_AUTH_SECRET"].startswith("${SPARK_AUTH_SECRET")
    listeners = SERVICES["kafka"]["environment"]["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"]
    assert {entry.split(":")[1] for entry in listeners.split(",")} == {"SASL_PLAINTEXT"}


def test_a_secret_has_no_default() -> None:
    text = _read("docker-compose.yml")
    used = set(re.findall(r"\$\{(\w*(?:PASSWORD|KEY|ROOT_USER|SECRET)\w*)(:?[?-])?", text))
    assert used
    assert {operator for _, operator in used} == {":?"}


def test_every_setting_is_in_the_example_file() -> None:
    documented = set(re.findall(r"^#?([A-Z_]+)=", _read(".env.example"), re.M))
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", _read("docker-compose.yml")))
    # The caller sets these, not .env: its user, a command-line option and the project name.
    assert used - documented - {"PIPELINE_USER", "REINGEST", "COMPOSE_PROJECT_NAME"} == set()


def test_the_codespaces_file_only_changes_existing_services() -> None:
    assert set(CODESPACES["services"]) <= set(SERVICES)
    for service in CODESPACES["services"].values():
        assert set(service) <= {"environment", "mem_limit"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_dockerfile_builds_anywhere(path: Any) -> None:
    text = path.read_text()
    # With a `# syntax` line, every build would have to download that frontend.
    assert not re.match(r"#\s*syntax", text)
    assert all(":" in image for image in re.findall(r"^FROM (\S+)", text, re.M))
    assert not re.search(r"https?://", text)
    assert re.search(r"^USER 1000$", text, re.M)
    assert "org.opencontainers.image.licenses" in text
    for install in re.findall(r"pip install[^&]*", text):
        assert "--require-hashes --no-deps" in install


@pytest.mark.parametrize("application", ["ingestion", "processing", "monitoring"])
def test_an_image_installs_the_locked_versions(application: str) -> None:
    all_pins = _pinned("requirements.lock")
    image_pins = _pinned(f"{application}/requirements.lock")
    assert image_pins
    assert image_pins <= all_pins


def _pinned(name: str) -> set[str]:
    return {
        re.split(r"[ \\;]", line)[0]
        for line in _read(name).splitlines()
        if "==" in line and line[0].isalnum()
    }


def _read(name: str) -> str:
    return (ROOT / name).read_text()
