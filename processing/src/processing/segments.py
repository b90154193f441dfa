"""Customer segments as ordered rules in a file."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from processing.errors import ProcessError
from processing.settings import DEFAULT_SEGMENTS

FIELDS = frozenset(
    {
        "total_events",
        "total_sessions",
        "total_purchases",
        "total_product_views",
        "total_cart_additions",
        "total_revenue",
        "days_active",
    }
)
"""Fields of a profile that a rule may compare."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Customers whose `field` is `at_least` so much; everybody where `field` is None."""

    name: str
    field: str | None = None
    at_least: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Segments:
    """Ordered rules: the first that fits decides."""

    version: int
    rules: tuple[Rule, ...]

    def as_json(self) -> dict[str, Any]:
        """What decides, without names of files or comments: equal rules give equal values."""
        rules = [[rule.name, rule.field, str(rule.at_least)] for rule in self.rules]
        return {"version": self.version, "rules": rules}

    def assign(self) -> pl.Expr:
        """`customer_segment` String, from the columns of `FIELDS`."""
        *conditions, default = self.rules
        chosen = pl.lit(default.name)
        for rule in reversed(conditions):
            assert rule.field is not None
            fits = pl.col(rule.field) >= pl.lit(rule.at_least, pl.Decimal(18, 2))
            chosen = pl.when(fits).then(pl.lit(rule.name)).otherwise(chosen)
        return chosen.alias("customer_segment")


def read_segments(path: Path = DEFAULT_SEGMENTS) -> Segments:
    """Read and check the rules.

    Raises:
        ProcessError: the file is missing or a rule is not usable; names the file and the line.
    """
    try:
        text = path.read_text()
        found = tomllib.loads(text, parse_float=Decimal)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProcessError(f"The segments in {path} cannot be read: {error}") from error
    version, tables = found.get("version"), found.get("segments")
    if isinstance(version, bool) or not isinstance(version, int) or not isinstance(tables, list) or not tables:
        raise ProcessError(f"{path} needs a whole number `version` and at least one [[segments]]")
    rules = []
    for place, table in enumerate(tables):
        try:
            rules.append(_rule(table, place == len(tables) - 1))
        except _Unusable as error:
            line = _line(text, place, error.key)
            raise ProcessError(f"{path}, line {line}: {error}") from error
    return Segments(version, tuple(rules))


class _Unusable(Exception):
    """A rule that cannot be used, and the key that makes it so."""

    def __init__(self, words: str, key: str = "") -> None:
        super().__init__(words)
        self.key = key


def _rule(table: Any, last: bool) -> Rule:
    if not isinstance(table, dict):
        raise _Unusable("a rule is a table [[segments]]")
    for key in table:
        if key not in ("name", "field", "at_least"):
            raise _Unusable(f"a rule has name, field and at_least, not {key}", key)
    name, field, at_least = table.get("name"), table.get("field"), table.get("at_least")
    if not isinstance(name, str) or not name:
        raise _Unusable("a rule has a name", "name")
    if (field is None) != (at_least is None):
        raise _Unusable(f"{name}: field and at_least go together", "field" if at_least is None else "at_least")
    if last != (field is None):
        raise _Unusable(f"{name}: the last rule, and only the last, has no condition: it takes everybody else")
    if field is None or at_least is None:
        return Rule(name)
    if field not in FIELDS:
        raise _Unusable(f"{name}: there is no field {field}; there are {', '.join(sorted(FIELDS))}", "field")
    if isinstance(at_least, bool) or not isinstance(at_least, int | Decimal) or not Decimal(at_least).is_finite():
        raise _Unusable(f"{name}: at_least is not a number", "at_least")
    if round(Decimal(at_least), 2) != at_least:
        raise _Unusable(f"{name}: at_least has more than two decimals, which no field has", "at_least")
    return Rule(name, field, Decimal(at_least))


def _line(text: str, place: int, key: str) -> int:
    """The line of a key in the rule at a place, or that of the rule; from 1."""
    lines = text.splitlines()
    heads = [number for number, line in enumerate(lines, 1) if re.match(r"\s*\[\[\s*segments\s*\]\]", line)]
    if place >= len(heads):
        # Rules may also be written as a list of inline tables.
        return next((number for number, line in enumerate(lines, 1) if re.match(r"\s*segments\b", line)), 1)
    end = heads[place + 1] - 1 if place + 1 < len(heads) else len(lines)
    inside = range(heads[place], end)
    named = (number + 1 for number in inside if key and re.match(rf"\s*{re.escape(key)}\s*=", lines[number]))
    return next(named, heads[place])
