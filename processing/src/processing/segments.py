"""Customer segments as ordered rules in a file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import polars as pl

from processing.errors import ProcessError

DEFAULT_FILE = Path(__file__).parent / "segments.toml"

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

    def assign(self) -> pl.Expr:
        """`customer_segment` String, from the columns of `FIELDS`."""
        *conditions, default = self.rules
        chosen = pl.lit(default.name)
        for rule in reversed(conditions):
            assert rule.field is not None
            fits = pl.col(rule.field) >= pl.lit(rule.at_least, pl.Decimal(18, 2))
            chosen = pl.when(fits).then(pl.lit(rule.name)).otherwise(chosen)
        return chosen.alias("customer_segment")


def read_segments(path: Path = DEFAULT_FILE) -> Segments:
    """Read and check the rules.

    Raises:
        ProcessError: the file is missing or a rule is not usable; names the file and the rule.
    """
    try:
        found = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ProcessError(f"The segments in {path} cannot be read: {error}") from error
    version, tables = found.get("version"), found.get("segments")
    if not isinstance(version, int) or not isinstance(tables, list) or not tables:
        raise ProcessError(f"{path} needs a whole number `version` and at least one [[segments]]")
    rules = [_rule(table, f"rule {place} of {path}") for place, table in enumerate(tables, 1)]
    if any(rule.field is None for rule in rules[:-1]) or rules[-1].field is not None:
        raise ProcessError(f"{path}: the last rule, and only the last, has no condition: it takes everybody else")
    return Segments(version, tuple(rules))


def _rule(table: dict[str, object], where: str) -> Rule:
    unknown = sorted(set(table) - {"name", "field", "at_least"})
    name, field, at_least = table.get("name"), table.get("field"), table.get("at_least", 0)
    if unknown or not isinstance(name, str) or not name:
        raise ProcessError(
            f"{where}: a rule has a name, and field and at_least" + (f", not {unknown[0]}" if unknown else "")
        )
    if (field is None) != ("at_least" not in table):
        raise ProcessError(f"{where} ({name}): field and at_least go together")
    if field is not None and field not in FIELDS:
        raise ProcessError(f"{where} ({name}): there is no field {field}; there are {', '.join(sorted(FIELDS))}")
    if isinstance(at_least, bool) or not isinstance(at_least, int | float):
        raise ProcessError(f"{where} ({name}): at_least is not a number")
    return Rule(name, field if field is None else str(field), Decimal(str(at_least)))
