"""Days that are special, such as Black Friday: a YAML file of days and their names."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import yaml

from customer_profiles.common.errors import PipelineError


def read_calendar(path: Path | None) -> dict[date, str]:
    """Read a calendar: `2021-11-26: Black Friday`, one day a line.

    Raises:
        PipelineError: the file cannot be read or is wrong; the message has the line.
    """
    if path is None:
        return {}
    try:
        root = yaml.compose(path.read_text(), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PipelineError(f"The calendar cannot be read: {error}") from error
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise PipelineError(f"{path}, line 1: write DAY: NAME, such as 2021-11-26: Black Friday")
    days: dict[date, str] = {}
    for key, name in root.value:
        try:
            days[date.fromisoformat(str(key.value))] = str(name.value)
        except ValueError as error:
            line = key.start_mark.line + 1
            raise PipelineError(f"{path}, line {line}: {key.value} is no day") from error
    return days
