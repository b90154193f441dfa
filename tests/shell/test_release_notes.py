"""`scripts/release-notes.sh` prints the section of one version of a changelog."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT

CHANGELOG = """\
# Changelog

## Unreleased

## 1.1.0 — 2026-02-01

### Added

- A thing.

## 1.0.0 — 2026-01-01

First release.
"""


@pytest.fixture
def changelog(tmp_path: Path) -> Path:
    path = tmp_path / "CHANGELOG.md"
    path.write_text(CHANGELOG)
    return path


def run_release_notes(
    *arguments: str, changelog: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"]}
    if changelog:
        environ["CHANGELOG"] = str(changelog)
    command = [str(ROOT / "scripts" / "release-notes.sh"), *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "### Added\n\n- A thing.\n"),
        (("1.1.0",), "### Added\n\n- A thing.\n"),
        (("v1.0.0",), "First release.\n"),
    ],
)
def test_the_section_of_a_version_is_printed(
    changelog: Path, arguments: tuple[str, ...], expected: str
) -> None:
    completed = run_release_notes(*arguments, changelog=changelog)
    assert (completed.returncode, completed.stdout) == (0, expected)


@pytest.mark.parametrize("version", ["1.0", "1.0.1", "Unreleased"])
def test_a_version_without_notes_is_an_error_that_lists_the_versions(
    changelog: Path, version: str
) -> None:
    completed = run_release_notes(version, changelog=changelog)
    assert (completed.returncode, completed.stdout) == (1, "")
    assert "1.1.0 1.0.0" in completed.stderr


def test_a_changelog_without_a_version_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "CHANGELOG.md"
    path.write_text("# Changelog\n\n## Unreleased\n")
    completed = run_release_notes(changelog=path)
    assert completed.returncode == 1
    assert "has no version yet" in completed.stderr


def test_help_is_printed() -> None:
    completed = run_release_notes("--help")
    assert completed.returncode == 0
    assert completed.stdout.startswith("usage: scripts/release-notes.sh [VERSION]")
    assert run_release_notes("--nonsense").returncode == 2


def test_the_newest_version_of_the_project_has_notes() -> None:
    completed = run_release_notes()
    assert completed.returncode == 0
    assert "### Added" in completed.stdout
    newest = re.search(
        r"^## (\d+\.\d+\.\d+) — \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.M
    )
    assert newest
    for project in ROOT.glob("*/pyproject.toml"):
        assert f'version = "{newest[1]}"' in project.read_text()
