"""The one writer of reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def write_json(path: Path, content: Mapping[str, object]) -> Path:
    """Write a JSON file atomically: a reader sees the old content or the new one, never a part.

    Args:
        path: The file. Its folder is created if it is missing.
        content: What the file holds.

    Returns:
        `path`.

    Raises:
        OSError: The folder is not writable.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    temporary.replace(path)
    return path
