"""The files of a checkout have LF, whatever the system is."""

from __future__ import annotations

import subprocess

import pytest

from tests.support import ROOT


def attributes(path: str) -> dict[str, str]:
    """Return what `.gitattributes` says about a path."""
    command = ["git", "check-attr", "-z", "text", "eol", "--", path]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    fields = output.split("\0")
    return dict(zip(fields[1::3], fields[2::3], strict=False))


@pytest.mark.parametrize("path", ["setup-environment.sh", "Makefile", ".env.example", "a.py", "x"])
def test_text_has_lf(path: str) -> None:
    assert attributes(path) == {"text": "auto", "eol": "lf"}


@pytest.mark.parametrize("path", ["tests/fixtures/a.tar.xz", "docs/images/a.png", "a.jar", "a.gz"])
def test_binary_files_stay_as_they_are(path: str) -> None:
    assert attributes(path)["text"] == "unset"
