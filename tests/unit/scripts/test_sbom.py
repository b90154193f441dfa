"""The software bill of materials."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from scripts import sbom
from stack.jar_lock import read_lock
from tests.support import ROOT

A, B = "a" * 64, "b" * 64
SCHEMA: dict[str, Any] = {
    # What CycloneDX 1.6 requires of the parts that are used here.
    "type": "object",
    "required": ["bomFormat", "specVersion"],
    "additionalProperties": False,
    "properties": {
        "bomFormat": {"const": "CycloneDX"},
        "specVersion": {"const": "1.6"},
        "serialNumber": {
            "pattern": "^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
        },
        "version": {"type": "integer", "minimum": 1},
        "metadata": {
            "properties": {
                "timestamp": {"format": "date-time"},
                "component": {"$ref": "#/$defs/component"},
            }
        },
        "components": {
            "type": "array",
            "uniqueItems": True,
            "items": {"$ref": "#/$defs/component"},
        },
        "dependencies": {
            "type": "array",
            "items": {"type": "object", "required": ["ref"]},
        },
    },
    "$defs": {
        "component": {
            "type": "object",
            "required": ["type", "name"],
            "additionalProperties": False,
            "properties": {
                "type": {"enum": ["application", "library", "container"]},
                "bom-ref": {"type": "string", "minLength": 1},
                "group": {"type": "string"},
                "name": {"type": "string", "minLength": 1},
                "version": {"type": "string", "maxLength": 1024},
                "purl": {"pattern": "^pkg:(pypi|maven|oci|golang)/[^ ]+@[^ ]+$"},
                "hashes": {
                    "items": {
                        "type": "object",
                        "required": ["alg", "content"],
                        "properties": {
                            "alg": {"const": "SHA-256"},
                            "content": {"pattern": "^[a-f0-9]{64}$"},
                        },
                    }
                },
                "properties": {"items": {"required": ["name"]}},
                "licenses": {"type": "array"},
            },
        }
    },
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return sbom.bill_of_materials(sbom.collect(ROOT), "1.2.3", datetime(2020, 1, 2, 3, tzinfo=UTC))


def test_the_document_is_cyclonedx(document: dict[str, Any]) -> None:
    jsonschema.validate(document, SCHEMA)
    references = [component["bom-ref"] for component in document["components"]]
    assert len(set(references)) == len(references)
    assert document["dependencies"] == [{"ref": "customer-profiles", "dependsOn": references}]
    assert document["metadata"]["timestamp"] == "2020-01-02T03:00:00Z"


def test_the_same_content_has_the_same_number(document: dict[str, Any]) -> None:
    again = sbom.bill_of_materials(sbom.collect(ROOT), "1.2.3", datetime.now(UTC))
    assert again["serialNumber"] == document["serialNumber"]
    other = sbom.bill_of_materials(document["components"][1:], "1.2.3", datetime.now(UTC))
    assert other["serialNumber"] != document["serialNumber"]


def test_it_names_every_locked_package_jar_and_image(document: dict[str, Any]) -> None:
    urls = {component["purl"] for component in document["components"]}
    locked = re.findall(r"^([\w.-]+)==([^\s;\\]+)", (ROOT / "requirements.lock").read_text(), re.M)
    assert len(locked) > 80
    for name, version in locked:
        assert f"pkg:pypi/{name}@{version}" in urls
    for lock in (ROOT / "stack" / "recipes").glob("*.jars.lock"):
        for jar in read_lock(lock):
            assert f"pkg:maven/{jar.group}/{jar.artifact}@{jar.version}" in urls
    images = {
        service["image"]
        for service in yaml.safe_load((ROOT / "docker-compose.yml").read_text())[
            "services"
        ].values()
        if not service["image"].endswith(":local")
    }
    for path in (ROOT / name for name in sbom.DOCKERFILES):
        images |= set(re.findall(r"^FROM (\S+)", path.read_text(), re.M))
    assert len(images) >= 6
    named = {
        f"{component['name']}:{component['version']}@sha256:{component['hashes'][0]['content']}"
        for component in document["components"]
        if component["type"] == "container"
    }
    assert named == images
    assert any(url.startswith("pkg:golang/github.com/minio/minio@v0") for url in urls)


def test_every_lock_of_the_project_is_read() -> None:
    files = subprocess.run(
        ["git", "ls-files", "*.lock", "*Dockerfile", "docker-compose*.yml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    known = {*sbom.PYTHON_LOCKS, *sbom.DOCKERFILES, *sbom.COMPOSE_FILES}
    # The override for Codespaces names no image, and the tests ship nothing.
    ignored = {"docker-compose.codespaces.yml"}
    rest = {file for file in files if not file.startswith("tests/")} - known - ignored
    assert all(re.fullmatch(r"stack/recipes/[\w-]+\.jars\.lock", file) for file in rest)


def test_a_lock_becomes_components_with_all_hashes() -> None:
    hashes = f"    --hash=sha256:{B} \\\n    --hash=sha256:{A}\n"
    text = f"Some_Name==1.0+x ; sys_platform == 'linux' \\\n{hashes}"
    (component,) = sbom.python_components(text, "x.lock")
    assert component["purl"] == "pkg:pypi/some-name@1.0%2Bx"
    assert [entry["content"] for entry in component["hashes"]] == [A, B]
    assert component["properties"] == [{"name": "customer-profiles:file", "value": "x.lock"}]


def test_a_component_of_two_files_is_named_once() -> None:
    line = f"{A}  org.example:one:1.0\n{B}  org.example:one:1.0:linux\n"
    parts = [*sbom.jar_components(line, "a"), *sbom.jar_components(line, "b")]
    merged = sbom._merge(parts)
    assert [component["purl"] for component in merged] == [
        "pkg:maven/org.example/one@1.0",
        "pkg:maven/org.example/one@1.0?classifier=linux",
    ]
    assert [item["value"] for item in merged[0]["properties"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "url"),
    [
        (
            f"FROM python:3@sha256:{A} AS x",
            f"pkg:oci/python@sha256:{A}?repository_url=python&tag=3",
        ),
        ("    image: a.example/b/c:1.2", "pkg:oci/c@1.2?repository_url=a.example/b/c&tag=1.2"),
        ("    image: customer-profiles-x:local", None),
        ("FROM build", None),
    ],
)
def test_an_image_becomes_a_component(line: str, url: str | None) -> None:
    found = [component["purl"] for component in sbom.image_components(f"{line}\n", "file")]
    assert found == ([url] if url else [])


def test_the_command_needs_the_standard_library_alone(tmp_path: Path) -> None:
    path = tmp_path / "made" / "sbom.json"
    script = [sys.executable, "-I", "-S", ROOT / "scripts" / "sbom.py", "--out", path]
    completed = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.startswith(f"Written: {path} (")
    jsonschema.validate(json.loads(path.read_text()), SCHEMA)
