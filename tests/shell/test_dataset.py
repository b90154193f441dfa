"""Fetching the real file, with a client that is faked: there is no account on a machine for tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import HEADER, ROOT, line


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("setup-kaggle.sh", "scripts/dataset.sh", "scripts/kaggle.lock", "scripts/lib/log.sh"):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    return tmp_path


def client(clone: Path, body: str) -> None:
    """A client that is installed already."""
    program = clone / ".stack" / "kaggle" / "bin" / "kaggle"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/bash\nwhile [[ $1 != -p ]]; do shift; done\nfolder=$2\n{body}\n")
    program.chmod(0o755)
    lock = subprocess.run(["cksum"], stdin=(clone / "scripts/kaggle.lock").open(), capture_output=True, check=True)
    (clone / ".stack" / "kaggle" / ".lock").write_bytes(lock.stdout.rstrip(b"\n"))


def dataset(clone: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(clone / "home"), **environ}
    return subprocess.run(["scripts/dataset.sh"], cwd=clone, env=env, capture_output=True, text=True, timeout=60)


def test_missing_credentials_are_said_in_clear_words(clone: Path) -> None:
    done = dataset(clone)
    assert done.returncode == 1
    assert done.stderr.startswith("error: there are no credentials for Kaggle")
    for words in ("access_token", "KAGGLE_API_TOKEN", "kaggle.json", "make sample"):
        assert words in done.stderr


@pytest.mark.parametrize(
    "pack", [":", 'cd "$folder" && python3 -m zipfile -c events.csv.zip events.csv && rm events.csv']
)
def test_the_file_comes_plain_or_packed_and_replaces_a_sample(clone: Path, pack: str) -> None:
    client(clone, f'printf "%s\\n" "{HEADER}" "{line()}" > "$folder/events.csv"; {pack}')
    (clone / "data").mkdir()
    (clone / "data" / "events.csv").write_text("a sample")
    (clone / "data" / ".events.csv.sample").write_text("rows=1")
    done = dataset(clone, KAGGLE_API_TOKEN="not-a-real-one")
    assert done.returncode == 0, done.stderr
    assert (clone / "data" / "events.csv").read_text() == f"{HEADER}\n{line()}\n"
    assert not (clone / "data" / ".events.csv.sample").exists()
    again = dataset(clone, KAGGLE_API_TOKEN="not-a-real-one")
    assert "is there already" in again.stdout


@pytest.mark.parametrize(
    ("body", "words"),
    [("echo 401 >&2; exit 1", "Kaggle did not give the file"), ('echo "<html>" > "$folder/events.csv"', "<html>")],
)
def test_what_goes_wrong_leaves_nothing_and_says_so(clone: Path, body: str, words: str) -> None:
    client(clone, body)
    done = dataset(clone, KAGGLE_USERNAME="someone", KAGGLE_KEY="not-a-real-one")
    assert done.returncode == 1
    assert words in done.stderr
    assert not (clone / "data" / "events.csv").exists()
