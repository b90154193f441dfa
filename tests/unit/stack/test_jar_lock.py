"""The digests of the jars that Maven downloads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stack import downloads
from stack.errors import StackError
from stack.jar_lock import Jar, jars_in, lock_of, read_lock, verify_jars, write_lock
from tests.support import ROOT

POMS = sorted([*ROOT.glob("stack/recipes/*.pom.xml"), ROOT / "tests/compose/security/pom.xml"])


def repository(folder: Path) -> Path:
    """Make a Maven repository of two jars."""
    for path in ("org/example/one/1.0/one-1.0.jar", "io/net/two/2/two-2-linux-x86_64.jar"):
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_text(path)
    return folder


def test_a_lock_has_the_coordinates_and_the_digest_of_each_jar(tmp_path: Path) -> None:
    jars = jars_in(repository(tmp_path / "m2"))
    assert [(jar.name, jar.coordinates) for jar in jars] == [
        ("two-2-linux-x86_64.jar", "io.net:two:2:linux-x86_64"),
        ("one-1.0.jar", "org.example:one:1.0"),
    ]
    write_lock(tmp_path / "jars.lock", jars)
    assert read_lock(tmp_path / "jars.lock") == jars


@pytest.fixture
def lib(tmp_path: Path) -> Path:
    """Return a folder of jars, with their lock beside it."""
    jars = jars_in(repository(tmp_path / "m2"))
    write_lock(tmp_path / "x.jars.lock", jars)
    (tmp_path / "lib").mkdir()
    for path in (tmp_path / "m2").rglob("*.jar"):
        path.rename(tmp_path / "lib" / path.name)
    return tmp_path / "lib"


def test_the_jars_of_the_lock_are_accepted(lib: Path) -> None:
    verify_jars(lib, lib.parent / "x.jars.lock")


@pytest.mark.parametrize("damage", ["changed", "added", "missing"])
def test_other_jars_are_refused_by_name(lib: Path, damage: str) -> None:
    name = {"added": "three-1.jar"}.get(damage, "one-1.0.jar")
    if damage == "missing":
        (lib / name).unlink()
    else:
        (lib / name).write_text("other bytes")
    with pytest.raises(StackError, match=f"differ from x.jars.lock: {name}\\.") as failure:
        verify_jars(lib, lib.parent / "x.jars.lock")
    assert "make lock" in str(failure.value)


def test_a_download_is_verified(lib: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(downloads, "run_tool", lambda command, *_: commands.append(command))
    monkeypatch.setattr(downloads.shutil, "which", lambda *_, **__: "mvn")
    pom = lib.parent / "x.pom.xml"
    downloads.fetch_jars(pom, lib, {})
    assert "--strict-checksums" in commands[0]
    (lib / "one-1.0.jar").write_text("other bytes")
    with pytest.raises(StackError, match="differ"):
        downloads.fetch_jars(pom, lib, {})


@pytest.mark.parametrize("pom", POMS, ids=lambda pom: pom.name)
def test_every_pom_has_a_lock_with_its_dependencies(pom: Path) -> None:
    jars = read_lock(lock_of(pom))
    assert len({jar.name for jar in jars}) == len(jars)
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in jars)
    text = re.sub(r"<exclusions>.*?</exclusions>", "", pom.read_text(), flags=re.S)
    named = re.findall(
        r"<dependency>\s*<groupId>(.*?)</groupId><artifactId>(.*?)</artifactId>"
        r"<version>(.*?)</version>",
        text,
    )
    assert named
    assert set(named) <= {(jar.group, jar.artifact, jar.version) for jar in jars}


def test_a_jar_without_a_classifier_has_none() -> None:
    assert Jar("0" * 64, "org", "a", "1").name == "a-1.jar"
