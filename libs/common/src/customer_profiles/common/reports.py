"""The one writer of reports."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from customer_profiles.common.errors import PipelineError


class ReportError(PipelineError):
    """A report cannot be written."""


def check_folder(folder: Path) -> None:
    """Refuse a folder that takes no reports, before a run does any work.

    Args:
        folder: The folder of the reports. It is created if it is missing.

    Raises:
        ReportError: The folder is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Permissions do not tell of a read-only file system. A file does.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ReportError(
            f"The folder of reports {folder} is not writable: {_cause(error)}; nothing was done.\n"
            "Make it writable, or name another one: REPORTS in .env."
        ) from error


def write_json(path: Path, content: Mapping[str, object]) -> Path:
    """Write a JSON file atomically: a reader sees the old content or the new one, never a part.

    Args:
        path: The file. Its folder is created if it is missing.
        content: What the file holds.

    Returns:
        `path`.

    Raises:
        ReportError: The folder is not writable. The work that the report is about is done.
    """
    temporary = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(content, indent=2) + "\n")
        temporary.replace(path)
    except OSError as error:
        raise ReportError(
            f"The run has done its work, but its report {path} cannot be written: "
            f"{_cause(error)}.\n"
            f"Make the folder {path.parent} writable, or name another one: REPORTS in .env."
        ) from error
    return path


def _cause(error: OSError) -> str:
    return error.strerror or str(error)
