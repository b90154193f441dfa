"""The digests of the jars that Maven downloads.

Beside each pom lies a lock with one line per jar: its SHA-256 and its Maven coordinates. Maven
itself compares a jar only with a checksum from the same place, so it is the lock that notices a
changed jar. `make lock` writes the locks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError

SUFFIX = "pom.xml"


@dataclass(frozen=True, slots=True)
class Jar:
    """One jar of a lock."""

    sha256: str
    group: str
    artifact: str
    version: str
    classifier: str = ""

    @property
    def name(self) -> str:
        """The name of the file."""
        return "-".join(filter(None, (self.artifact, self.version, self.classifier))) + ".jar"

    @property
    def coordinates(self) -> str:
        """`group:artifact:version`, with the classifier at the end if there is one."""
        return ":".join(filter(None, (self.group, self.artifact, self.version, self.classifier)))


def lock_of(pom: Path) -> Path:
    """Return the lock that belongs to a pom."""
    return pom.with_name(f"{pom.name.removesuffix(SUFFIX)}jars.lock")


def read_lock(lock: Path) -> list[Jar]:
    """Read the jars of a lock."""
    lines = (line.split() for line in lock.read_text().splitlines())
    return [Jar(digest, *coordinates.split(":")) for digest, coordinates in lines]


def verify_jars(folder: Path, lock: Path) -> None:
    """Compare the jars of a folder with a lock.

    Raises:
        StackError: a jar has another content than that of the lock, or is not in the lock.
    """
    expected = {jar.name: jar.sha256 for jar in read_lock(lock)}
    actual = {path.name: digest_of(path) for path in sorted(folder.glob("*.jar"))}
    wrong = [name for name, digest in actual.items() if expected.get(name) != digest]
    missing = sorted(expected.keys() - actual)
    if wrong or missing:
        raise StackError(
            f"The downloaded jars differ from {lock.name}: {', '.join(wrong + missing)}.\n"
            "Remove them from ~/.m2/repository and run the command again. If they differ again, "
            "somebody has changed them: do not use them, and report it as SECURITY.md says. "
            "After a change of the pom, run `make lock`."
        )


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def jars_in(repository: Path) -> list[Jar]:
    """Return the jars of a folder with the layout of a Maven repository, by coordinates."""
    jars = []
    for path in repository.rglob("*.jar"):
        *group, artifact, version, name = path.relative_to(repository).parts
        classifier = name.removeprefix(f"{artifact}-{version}").removesuffix(".jar").lstrip("-")
        jars.append(Jar(digest_of(path), ".".join(group), artifact, version, classifier))
    return sorted(jars, key=lambda jar: jar.coordinates)


def write_lock(lock: Path, jars: Iterable[Jar]) -> None:
    """Write a lock, which replaces an older one."""
    lock.write_text("".join(f"{jar.sha256}  {jar.coordinates}\n" for jar in jars))
