"""Read `.env` and the environment. Imports neither pydantic nor rich, so every tool can use it."""

from __future__ import annotations

import os
from pathlib import Path

from dotenv import dotenv_values

from customer_profiles.common.errors import SettingsError


def load_environ(path: Path = Path(".env")) -> dict[str, str]:
    """Read the settings of this machine.

    Args:
        path: The `.env` file. A missing file counts as empty. It may have CRLF and a byte order
            mark, as editors on Windows write them.

    Returns:
        The variables of the file, overridden by those of the environment. A name without a value is
        an empty string.

    Raises:
        SettingsError: The file is not UTF-8.
    """
    try:
        values = dotenv_values(path, encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{path} is not UTF-8 text, perhaps because PowerShell or an editor wrote UTF-16.\n"
            "Save it as UTF-8, or remove it and run `make setup`."
        ) from error
    return {name: value or "" for name, value in {**values, **os.environ}.items()}
