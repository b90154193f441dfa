"""Downloads through the language package managers: jars by Maven, wheels by pip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from stack.errors import StackError
from stack.jar_lock import lock_of, verify_jars
from stack.settings import ROOT

TAIL_LINES = 15
"""Lines of a failed tool's output that an error shows."""


def run_tool(command: list[str | Path], environ: Mapping[str, str], purpose: str) -> None:
    """Run a build tool to its end.

    Args:
        command: the program and its arguments.
        environ: the environment of the program.
        purpose: what the command does, to start the error message with.

    Raises:
        StackError: the program is missing or fails; the message has the end of its output.
    """
    try:
        done = subprocess.run(command, env=dict(environ), capture_output=True, text=True, cwd=ROOT)
    except FileNotFoundError as error:
        raise StackError(
            f"{purpose} needs the program {command[0]}, which is missing. Run `make setup`."
        ) from error
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-TAIL_LINES:])
        raise StackError(
            f"{purpose} failed:\n{tail}\n"
            "Fix the cause that these lines name (the network, the disk) and run the command again."
        )


def fetch_jars(pom: Path, lib: Path, environ: Mapping[str, str]) -> None:
    """Download every dependency of a pom into a folder, and compare them with the pom's lock.

    Raises:
        StackError: Maven is missing or fails, or a jar is not the one of the lock.
    """
    copy_jars(pom, lib, environ)
    verify_jars(lib, lock_of(pom))


def copy_jars(pom: Path, lib: Path, environ: Mapping[str, str], *options: str) -> None:
    """Download every dependency of a pom into a folder, unverified.

    Raises:
        StackError: Maven is missing or fails.
    """
    maven = shutil.which("mvn", path=environ.get("PATH"))
    if not maven:
        raise StackError(
            "Maven downloads the servers' jars, and it is missing.\n"
            "Run `make setup`, or install it "
            "(Debian, Ubuntu: apt-get install maven; macOS: brew install maven)."
        )
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={lib}"]
    # Maven itself fails on a wrong checksum.
    quietly = ["-q", "-B", "--strict-checksums"]
    command: list[str | Path] = [maven, *quietly, "-f", pom, *goal, *options]
    run_tool(command, environ, f"Downloading the jars of {pom.stem}")


def install_wheel(lock: Path, target: Path) -> None:
    """Install the packages of a hashed lock into a folder.

    Raises:
        StackError: pip fails.
    """
    pip: list[str | Path] = [sys.executable, "-m", "pip", "install", "--quiet"]
    options: list[str | Path] = ["--require-hashes", "--no-deps", "--target", target, "-r", lock]
    run_tool([*pip, *options], os.environ, f"Installing {lock.stem}")
