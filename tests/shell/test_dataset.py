"""Downloading the real file, with a fake client because test machines have no account."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import HEADER, ROOT, line

COPIED = (
    "setup-kaggle.sh",
    "scripts/dataset.sh",
    "scripts/kaggle.lock",
    "scripts/lib/log.sh",
    "scripts/lib/env_file.sh",
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in COPIED:
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    return tmp_path


def install_fake_client(clone: Path, body: str, home: str = ".stack") -> None:
    """Put a fake client where the real one would be installed."""
    program = clone / home / "kaggle" / "bin" / "kaggle"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/bash\nwhile [[ $1 != -p ]]; do shift; done\nfolder=$2\n{body}\n")
    program.chmod(0o755)
    with (clone / "scripts/kaggle.lock").open() as file:
        lock = subprocess.run(["cksum"], stdin=file, capture_output=True, check=True)
    (clone / home / "kaggle" / ".lock").write_bytes(lock.stdout.rstrip(b"\n"))


def run_dataset(clone: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(clone / "home"), **environ}
    return subprocess.run(
        ["scripts/dataset.sh"], cwd=clone, env=env, capture_output=True, text=True, timeout=60
    )


def test_missing_credentials_are_explained(clone: Path) -> None:
    completed = run_dataset(clone)
    assert completed.returncode == 1
    assert completed.stderr.startswith("error: there are no credentials for Kaggle")
    for part in ("access_token", "KAGGLE_API_TOKEN", "kaggle.json", "make sample"):
        assert part in completed.stderr


@pytest.mark.parametrize(
    ("env_file", "environ", "home"),
    [
        ("STACK_HOME=other place\r\n", {}, "other place"),
        ("STACK_HOME=other\n", {"STACK_HOME": "third"}, "third"),
        ("STACK_HOME=\n", {}, ".stack"),
    ],
)
def test_the_client_is_in_the_folder_of_the_stack(
    clone: Path, env_file: str, environ: dict[str, str], home: str
) -> None:
    (clone / ".env").write_bytes(env_file.encode())
    install_fake_client(clone, f'printf "%s\\n" "{HEADER}" "{line()}" > "$folder/events.csv"', home)
    completed = run_dataset(clone, KAGGLE_API_TOKEN="not-a-real-one", **environ)
    assert completed.returncode == 0, completed.stderr
    assert (clone / "data" / "events.csv").exists()


ZIP = 'cd "$folder" && python3 -m zipfile -c events.csv.zip events.csv && rm events.csv'


@pytest.mark.parametrize("pack", [":", ZIP])
def test_a_plain_or_zipped_file_replaces_a_sample(clone: Path, pack: str) -> None:
    install_fake_client(
        clone, f'printf "%s\\n" "{HEADER}" "{line()}" > "$folder/events.csv"; {pack}'
    )
    (clone / "data").mkdir()
    (clone / "data" / "events.csv").write_text("a sample")
    (clone / "data" / ".events.csv.sample").write_text("rows=1")
    completed = run_dataset(clone, KAGGLE_API_TOKEN="not-a-real-one")
    assert completed.returncode == 0, completed.stderr
    assert (clone / "data" / "events.csv").read_text() == f"{HEADER}\n{line()}\n"
    assert not (clone / "data" / ".events.csv.sample").exists()
    again = run_dataset(clone, KAGGLE_API_TOKEN="not-a-real-one")
    assert "is there already" in again.stdout


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("echo 401 >&2; exit 1", "Kaggle did not give the file"),
        ('echo "<html>" > "$folder/events.csv"', "<html>"),
    ],
)
def test_a_failed_download_leaves_no_file_and_names_the_cause(
    clone: Path, body: str, message: str
) -> None:
    install_fake_client(clone, body)
    completed = run_dataset(clone, KAGGLE_USERNAME="someone", KAGGLE_KEY="not-a-real-one")
    assert completed.returncode == 1
    assert message in completed.stderr
    assert not (clone / "data" / "events.csv").exists()
