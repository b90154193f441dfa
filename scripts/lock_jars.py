#!/usr/bin/env python
"""Write the lock of each pom, from what Maven downloads now."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from stack.downloads import copy_jars
from stack.jar_lock import jars_in, lock_of, write_lock


def main(poms: list[str]) -> int:
    """Write the locks. Returns the exit code.

    Raises:
        StackError: Maven is missing or fails.
    """
    for pom in map(Path, poms):
        with tempfile.TemporaryDirectory() as folder:
            copy_jars(pom.resolve(), Path(folder), os.environ, "-Dmdep.useRepositoryLayout=true")
            write_lock(lock_of(pom), jars_in(Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
