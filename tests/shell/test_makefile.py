"""What people name on Make's command line reaches the commands as it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT

NAMES = (
    "events.csv",
    'a "quoted" name.csv',
    "it's $HOME and $(HOME).csv",
    "$(touch evaluated) `touch evaluated`; touch evaluated.csv",
    "one\ntwo.csv",
    "a#b \\ c$$d.csv",
    "-dash.csv",
    "*.csv",
    "été 100%.csv",
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Copy the Makefile to a folder whose Python writes its arguments down."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    program = "#!/usr/bin/env python3\nimport json, os, sys\n"
    program += "json.dump([sys.argv[1:], dict(os.environ)], open('called.json', 'w'))\n"
    for path, content in (
        ("scripts/stack-kind.sh", "#!/bin/sh\necho native\n"),
        ("scripts/release-notes.sh", program),
        (".venv/bin/python", program),
        ("requirements.lock", ""),
        ("pyproject.toml", ""),
        (".venv/.ready", ""),
    ):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(0o755)
    return tmp_path


def make(clone: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(clone), **environ}
    return subprocess.run(
        ["make", *arguments], cwd=clone, env=env, capture_output=True, text=True, timeout=60
    )


def called(clone: Path, *arguments: str, **environ: str) -> list[str]:
    """Run Make and return the arguments of the last Python that it called."""
    completed = make(clone, *arguments, **environ)
    assert completed.returncode == 0, completed.stderr
    assert not (clone / "evaluated").exists()
    called_with: list[str] = json.loads((clone / "called.json").read_text())[0]
    return called_with


@pytest.mark.parametrize("name", NAMES)
def test_a_file_may_have_any_name(clone: Path, name: str) -> None:
    for arguments, environ in (([f"FILE={name}"], {}), ([], {"FILE": name})):
        assert called(clone, "ingest", *arguments, **environ)[-3:] == ["ingest", "--", name]
        assert called(clone, "sample", *arguments, **environ)[-1] == f"--out={name}"
        assert called(clone, "simulate", *arguments, **environ)[-2:] == ["--", name]
    assert called(clone, "redrive", f"CORRECTED={name}")[-1] == f"--corrected={name}"
    assert called(clone, "replay", f"MENDED={name}")[-1] == f"--corrected={name}"
    assert called(clone, "dead-letters", f"EXPORT={name}", f"SOURCE={name}")[-2:] == [
        f"--source={name}",
        f"--export={name}",
    ]
    assert called(clone, "profile", f"ID={name}", "FROM=lake")[-3:] == ["--from=lake", "--", name]
    assert called(clone, "logs", f"SERVER={name}")[-1] == name
    assert called(clone, "release-notes", f"VERSION={name}") == [name]


def test_defaults_apply_where_nothing_is_named(clone: Path) -> None:
    assert called(clone, "ingest")[-1] == "data/events.csv"
    assert called(clone, "ingest", "FILE=-")[-1] == "-"
    assert called(clone, "sample")[1:] == ["--rows=885129", "--seed=1", "--out=data/events.csv"]
    assert called(clone, "simulate")[-3:] == ["--speed=60", "--", "data/events.csv"]
    assert called(clone, "redrive")[-1] == "redrive"
    assert called(clone, "logs") == ["-m", "stack", "logs"]


def test_only_what_is_named_is_in_the_environment(clone: Path) -> None:
    called(clone, "stream")
    environ = json.loads((clone / "called.json").read_text())[1]
    # An empty variable would hide the value in .env.
    assert not {"STREAM_INTERVAL", "ID", "SOURCE", "RATE"} & set(environ)
    called(clone, "stream", "STREAM_INTERVAL=3")
    assert json.loads((clone / "called.json").read_text())[1]["STREAM_INTERVAL"] == "3"


@pytest.mark.parametrize(("target", "message"), [("profile", "ID=…"), ("scale", "WORKERS=3")])
def test_a_missing_name_is_asked_for(clone: Path, target: str, message: str) -> None:
    completed = make(clone, target)
    assert completed.returncode == 2
    assert message in completed.stderr
