"""Components of the stack, each built or downloaded once.

A component is installed in `dist/NAME` with a stamp of its recipe. It is rebuilt only if its recipe
changes. It is built in a folder beside its own and renamed at the end, so an interrupted build
leaves nothing that looks finished.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError
from stack.settings import Settings

STAMP = ".recipe"
BUILD_SPACE = 3 * 1024**3
"""Bytes that a first build needs: 0.3 GB of servers, and their build caches."""
RUN_SPACE = 512 * 1024**2
"""Free bytes below which the servers would start to refuse writes."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Component:
    """One thing to install."""

    name: str
    recipe: tuple[Path | str, ...]
    """Everything that decides the result: files, and texts such as versions."""
    build: Callable[[Path], None]
    """Builds the component in the given folder."""

    def stamp(self) -> str:
        """Return a digest of the recipe: of the content of files, and of texts."""
        digest = hashlib.sha256()
        for part in self.recipe:
            digest.update(part.read_bytes() if isinstance(part, Path) else part.encode())
            digest.update(b"\0")
        return digest.hexdigest()

    def is_installed(self, dist: Path) -> bool:
        """Return whether `dist` has this component, built from this recipe."""
        stamp = dist / self.name / STAMP
        return stamp.is_file() and stamp.read_text() == self.stamp()


def install_components(components: list[Component], settings: Settings) -> None:
    """Build the components that `settings.dist` lacks or has from another recipe.

    Raises:
        StackError: the disk is too full, or a build fails.
    """
    missing = [part for part in components if not part.is_installed(settings.dist)]
    check_space(settings.home, BUILD_SPACE if missing else RUN_SPACE)
    for component in missing:
        started = time.monotonic()
        extra = {"event": "component_installing", "component": component.name}
        logger.info("installing %s …", component.name, extra=extra)
        target = settings.dist / component.name
        building = settings.dist / f"{component.name}.building"
        shutil.rmtree(building, ignore_errors=True)
        with _readable():
            building.mkdir(parents=True)
            component.build(building)
            (building / STAMP).write_text(component.stamp())
        shutil.rmtree(target, ignore_errors=True)
        building.rename(target)
        seconds = time.monotonic() - started
        extra = {"event": "component_installed", "component": component.name}
        logger.info("installed %s in %.0f s", component.name, seconds, extra=extra)


@contextmanager
def _readable() -> Iterator[None]:
    """Let others read what is installed: it has no secrets, and images are built from it."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def check_space(folder: Path, needed: int) -> None:
    """Refuse to start if the disk would fill up on the way.

    Args:
        folder: a folder on the disk; it need not exist.
        needed: bytes.

    Raises:
        StackError: the disk has fewer bytes free.
    """
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise StackError(
            f"The disk under {folder} has {free / 1e9:.1f} GB free and the stack needs "
            f"{needed / 1e9:.1f} GB.\nFree some space, or set STACK_HOME in .env to a folder on "
            "another disk, and run the command again."
        )
