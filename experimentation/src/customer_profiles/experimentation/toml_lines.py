"""TOML files checked by pydantic, with the line of what cannot be used."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from customer_profiles.common.errors import PipelineError

Model = TypeVar("Model", bound=BaseModel)
_HEADER = re.compile(r"\s*(\[\[?)\s*([\w.\-\" ]+?)\s*\]\]?\s*(?:#.*)?$")


class UnusableError(PipelineError):
    """A file declares something that cannot be used; the message has its line and the reason."""


def read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    """Read a file. Numbers with a decimal point become decimals.

    Returns:
        Its text and its content.

    Raises:
        PipelineError: there is no such file, or it is not TOML.
    """
    try:
        text = path.read_text()
        return text, tomllib.loads(text, parse_float=Decimal)
    except FileNotFoundError as error:
        raise PipelineError(
            f"There is no file {path}.\nWrite one as docs/experiments.md describes it."
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PipelineError(f"{path} cannot be read: {error}") from error


def check(model: type[Model], path: Path, text: str, content: dict[str, Any]) -> Model:
    """Check the content of a file.

    Raises:
        UnusableError: naming the line and the reason of the first error, and how many there are.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = [
            (line_of(text, item["loc"]), _reason(item["loc"], item["type"], item["msg"]))
            for item in error.errors()
        ]
        raise unusable(path, sorted(problems)) from error


def unusable(path: Path, problems: Sequence[tuple[int, str]]) -> UnusableError:
    """Return the error that lists lines and reasons."""
    return UnusableError("\n".join(f"{path}, line {line}: {reason}" for line, reason in problems))


def line_of(text: str, location: Sequence[str | int]) -> int:
    """Find the line, counted from 1, of a key in a TOML document.

    `tomllib` does not tell lines. This finds keys in tables and in arrays of tables, however
    they are ordered. It returns the line of the nearest table if the key itself is missing or is
    written inline, and 1 if there is no table either.

    Args:
        text: the document.
        location: names of keys, and positions in arrays: `("variants", 1, "weight")`.
    """
    tables = _tables(text)
    for length in range(len(location), -1, -1):
        line = _declared(tables, tuple(location[:length]))
        if line:
            return line
    return 1


def _tables(text: str) -> list[tuple[tuple[str | int, ...], int, dict[str, int]]]:
    """Return each table with its location, its line, and the lines of its keys."""
    tables: list[tuple[tuple[str | int, ...], int, dict[str, int]]] = [((), 0, {})]
    positions: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line):
            name = header[2].replace('"', "").replace(" ", "")
            location: tuple[str | int, ...] = tuple(name.split("."))
            if header[1] == "[[":
                positions[name] = positions.get(name, -1) + 1
                location = (*location, positions[name])
            tables.append((location, number, {}))
        elif key := re.match(r"\s*\"?([\w\-]+)\"?\s*(?:\.\s*[\w\-]+\s*)*=", line):
            tables[-1][2].setdefault(key[1], number)
    return tables


def _declared(
    tables: list[tuple[tuple[str | int, ...], int, dict[str, int]]],
    location: tuple[str | int, ...],
) -> int:
    for table, line, keys in tables:
        if table == location and line:
            return line
        if location and table == location[:-1] and location[-1] in keys:
            return keys[str(location[-1])]
    return 0


def _reason(location: Sequence[str | int], kind: str, message: str) -> str:
    name = ".".join(str(part + 1 if isinstance(part, int) else part) for part in location)
    if kind == "missing":
        return f"{name} is missing"
    if kind == "extra_forbidden":
        return f"{name} is no key of this file"
    return f"{name}: {message.removeprefix('Value error, ')}" if name else message
