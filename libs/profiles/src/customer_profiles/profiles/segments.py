"""Customer segments: ordered rules, read from a TOML file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeGuard

import polars as pl

from customer_profiles.common.errors import PipelineError
from customer_profiles.profiles.schema import TOTAL

DEFAULT_SEGMENTS = Path(__file__).parent / "segments.toml"
"""The rules that apply unless the settings name another file."""
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
"""The fields of a profile that a rule may compare."""
MAX_THRESHOLD = Decimal(10) ** 24
"""The largest threshold: a million million times the highest price."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A segment and its condition: `field` is `at_least` this much.

    A rule whose `field` is None matches every customer.
    """

    name: str
    field: str | None = None
    at_least: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Segments:
    """Ordered rules: the first that matches a customer assigns the segment.

    Only the last rule has no condition.
    """

    version: int
    rules: tuple[Rule, ...]

    def as_json(self) -> dict[str, Any]:
        """Return version and rules as JSON values, which are equal for equal rules.

        File names and comments are left out, because they do not change a customer's segment.
        """
        rules = [[rule.name, rule.field, str(rule.at_least)] for rule in self.rules]
        return {"version": self.version, "rules": rules}

    def assign(self) -> pl.Expr:
        """Return the expression for `customer_segment` String, from the columns in `FIELDS`."""
        *conditions, default = self.rules
        segment = pl.lit(default.name)
        for rule in reversed(conditions):
            assert rule.field is not None
            matches = pl.col(rule.field) >= pl.lit(rule.at_least, TOTAL)
            segment = pl.when(matches).then(pl.lit(rule.name)).otherwise(segment)
        return segment.alias("customer_segment")


def read_segments(path: Path = DEFAULT_SEGMENTS) -> Segments:
    """Read and check the rules.

    Args:
        path: a TOML file with a whole number `version` and an array of tables `segments`.

    Returns:
        The rules in the order of the file.

    Raises:
        PipelineError: the file cannot be read or a rule is invalid; the message names the file and
            the line.
    """
    try:
        text = path.read_text()
        document = tomllib.loads(text, parse_float=Decimal)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PipelineError(f"The segments in {path} cannot be read: {error}") from error
    version, tables = document.get("version"), document.get("segments")
    if not _is_int(version) or not isinstance(tables, list) or not tables:
        raise PipelineError(f"{path} needs a whole number `version` and at least one [[segments]]")
    rules = []
    for position, table in enumerate(tables):
        try:
            rules.append(_rule(table, is_last=position == len(tables) - 1))
        except _InvalidRuleError as error:
            line = _line_number(text, position, error.key)
            raise PipelineError(f"{path}, line {line}: {error}") from error
    return Segments(version, tuple(rules))


class _InvalidRuleError(Exception):
    """A rule is invalid because of `key`, which is empty if no single key is at fault."""

    def __init__(self, message: str, key: str = "") -> None:
        super().__init__(message)
        self.key = key


def _rule(table: object, *, is_last: bool) -> Rule:
    if not isinstance(table, Mapping):
        raise _InvalidRuleError("a rule is a table [[segments]]")
    for key in table:
        if key not in ("name", "field", "at_least"):
            raise _InvalidRuleError(f"a rule has name, field and at_least, not {key}", key)
    name, field, at_least = table.get("name"), table.get("field"), table.get("at_least")
    if not isinstance(name, str) or not name:
        raise _InvalidRuleError("a rule has a name", "name")
    if (field is None) != (at_least is None):
        key = "field" if at_least is None else "at_least"
        raise _InvalidRuleError(f"{name}: field and at_least go together", key)
    if is_last != (field is None):
        raise _InvalidRuleError(
            f"{name}: the last rule, and only the last, has no condition: it takes everybody else"
        )
    if field is None:
        return Rule(name)
    return Rule(name, _field(name, field), _threshold(name, at_least))


def _field(rule: str, field: object) -> str:
    if not isinstance(field, str) or field not in FIELDS:
        raise _InvalidRuleError(
            f"{rule}: there is no field {field}; there are {', '.join(sorted(FIELDS))}", "field"
        )
    return field


def _threshold(rule: str, at_least: object) -> Decimal:
    threshold = Decimal(at_least) if _is_int(at_least) else at_least
    if not isinstance(threshold, Decimal) or not threshold.is_finite():
        raise _InvalidRuleError(f"{rule}: at_least is not a number", "at_least")
    if abs(threshold) > MAX_THRESHOLD:
        raise _InvalidRuleError(f"{rule}: at_least is more than {MAX_THRESHOLD:.0e}", "at_least")
    if round(threshold, 2) != threshold:
        raise _InvalidRuleError(
            f"{rule}: at_least has more than two decimals, which no field has", "at_least"
        )
    return threshold


def _is_int(value: object) -> TypeGuard[int]:
    """Tell whether a value is a whole number; in Python a truth value is an `int`, too."""
    return isinstance(value, int) and not isinstance(value, bool)


def _line_number(text: str, position: int, key: str) -> int:
    """Find the line of a key in the rule at `position`, or else the first line of that rule.

    Lines are counted from 1.
    """
    lines = text.split("\n")
    headers = _matching_lines(lines, r"\s*\[\[\s*segments\s*\]\]")
    if position >= len(headers):
        # Rules may also be written as a list of inline tables.
        return next(iter(_matching_lines(lines, r"\s*segments\b")), 1)
    header = headers[position]
    following = headers[position + 1] if position + 1 < len(headers) else len(lines) + 1
    if key:
        for number in _matching_lines(lines, rf"\s*{re.escape(key)}\s*="):
            if header < number < following:
                return number
    return header


def _matching_lines(lines: Sequence[str], pattern: str) -> list[int]:
    return [number for number, line in enumerate(lines, 1) if re.match(pattern, line)]
