"""The files that a job in a container gets to see, with a fake engine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Copy the script to a folder with a docker that writes its arguments down."""
    for folder in ("deploy/compose", "scripts/lib"):
        shutil.copytree(ROOT / folder, tmp_path / "clone" / folder)
    fake = tmp_path / "bin" / "docker"
    fake.parent.mkdir()
    # Kibana does not run.
    fake.write_text(
        f"#!/bin/sh\n[ \"$2\" != ps ] || exit 0\nprintf '%s\\0' \"$@\" >'{tmp_path}/called'\n"
    )
    fake.chmod(0o755)
    clone = tmp_path / "clone"
    (clone / "data").mkdir()
    for name in (".env", "data/events.csv", "letters.csv", "my rules.toml"):
        (clone / name).write_text("content\n")
    (tmp_path / "else where").mkdir()
    (tmp_path / "else where" / "events.csv").write_text("content\n")
    return clone


def run(clone: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    path = f"{clone.parent / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        ["deploy/compose/compose.sh", *arguments],
        cwd=clone,
        env={"PATH": path, "HOME": str(clone), **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def mounts(clone: Path, *arguments: str, **environ: str) -> dict[str, str]:
    """Run a job. Return what is mounted, by its path in the container."""
    completed = run(clone, *arguments, **environ)
    assert completed.returncode == 0, completed.stderr
    words = (clone.parent / "called").read_text().split("\0")
    volumes = [words[number + 1] for number, word in enumerate(words) if word == "--volume"]
    # The name of the user, which every job gets.
    assert any(volume.endswith(":/etc/passwd:ro") for volume in volumes)
    found = {}
    for volume in volumes:
        source, target, *mode = volume.split(":")
        if target != "/etc/passwd":
            found[target] = ":".join([source, *mode])
    return found


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["ingestion", "ingest", "--", "-"], {}),
        # What is in data/ is there already.
        (["ingestion", "ingest", "--", "data/events.csv"], {}),
        (["ingestion", "ingest", "--", "nowhere.csv"], {}),
        (["ingestion", "ingest", "--", "letters.csv"], {"letters.csv": "ro"}),
        (["ingestion", "ingest", "--", "./letters.csv"], {"./letters.csv": "ro"}),
        (["ingestion", "redrive", "--corrected=letters.csv"], {"letters.csv": "ro"}),
        (["ingestion", "dead-letters", "--export=letters.csv"], {"letters.csv": ""}),
        (["ingestion", "dead-letters", "--export=new.csv"], {"new.csv": ""}),
        (["ingestion", "dead-letters", "--source=letters.csv"], {}),
        (["processing", "process"], {}),
        (["monitoring", "quality", "--contract=letters.csv"], {"letters.csv": "ro"}),
    ],
)
def test_a_job_sees_the_files_that_are_named(
    clone: Path, arguments: list[str], expected: dict[str, str]
) -> None:
    assert mounts(clone, "run", *arguments) == {
        f"/project/{name}": f"{clone}/{name}:{mode}" if mode else f"{clone}/{name}"
        for name, mode in expected.items()
    }


def test_an_absolute_path_is_the_same_inside(clone: Path) -> None:
    path = str(clone.parent / "else where" / "events.csv")
    assert mounts(clone, "run", "ingestion", "ingest", "--", path) == {path: f"{path}:ro"}
    for option, mode in (("--corrected", ":ro"), ("--export", "")):
        found = mounts(clone, "run", "ingestion", "redrive", f"{option}={path}")
        assert found == {path: f"{path}{mode}"}


def test_the_rules_of_the_segments_are_mounted(clone: Path) -> None:
    expected = {"/project/my rules.toml": f"{clone}/my rules.toml:ro"}
    assert mounts(clone, "run", "processing", "process", SEGMENTS="my rules.toml") == expected
    with (clone / ".env").open("a") as file:
        file.write("SEGMENTS=my rules.toml\n")
    assert mounts(clone, "run", "processing", "rebuild") == expected
    # Ingestion has no rules.
    assert mounts(clone, "run", "ingestion", "ingest", "--", "-") == {}


def test_an_export_is_a_new_file_for_its_owner_alone_or_keeps_what_it_was(clone: Path) -> None:
    mounts(clone, "run", "ingestion", "dead-letters", "--export=new.csv")
    assert (clone / "new.csv").stat().st_mode & 0o777 == 0o600
    mounts(clone, "run", "ingestion", "dead-letters", "--export=letters.csv")
    assert (clone / "letters.csv").read_text() == "content\n"


@pytest.mark.parametrize("path", ["nowhere/letters.csv", "data"])
def test_an_export_that_cannot_be_written_is_refused(clone: Path, path: str) -> None:
    completed = run(clone, "run", "ingestion", "dead-letters", f"--export={path}")
    assert completed.returncode == 1
    assert f"{path} cannot be written" in completed.stderr
    assert "Name another file: EXPORT=…" in completed.stderr
    assert not (clone.parent / "called").exists()


def test_a_path_with_a_colon_is_refused_with_the_way_out(clone: Path) -> None:
    (clone / "a:b.csv").write_text("content\n")
    completed = run(clone, "run", "ingestion", "ingest", "--", "a:b.csv")
    assert completed.returncode == 1
    assert "make ingest FILE=- <the-file" in completed.stderr


@pytest.mark.parametrize("folder", ["data", ".", "made/here"])
def test_the_generator_writes_beside_its_file_and_sees_no_secret(clone: Path, folder: str) -> None:
    found = mounts(clone, "sample", "--rows=5", f"--out={folder}/events.csv")
    secret = {"/project/./.env": "/dev/null:ro"} if folder == "." else {}
    assert found == {
        f"/project/{folder}": f"{clone}/{folder}",
        "/project/scripts": f"{clone}/scripts:ro",
        **secret,
    }
    assert (clone / folder).is_dir()
