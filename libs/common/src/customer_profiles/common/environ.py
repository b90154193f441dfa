"""Read `.env` and the environment. Imports neither pydantic nor rich, so every tool can use it."""

from __future__ import annotations

import os
from pathlib import Path

from dotenv import dotenv_values


def load_environ(path: Path = Path(".env")) -> dict[str, str]:
    """Read the settings of this machine.

    Args:
        path: The `.env` file. A missing file counts as empty.

    Returns:
        The variables of the file, overridden by those of the environment. A name without a value is
        an empty string.
    """
    return {name: value or "" for name, value in {**dotenv_values(path), **os.environ}.items()}
