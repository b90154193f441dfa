"""Checks as a file: an ODCS 3.1 data contract, refused with the line where it is wrong.

Each rule of type `custom` with the engine `customerProfiles` is a check. Its `implementation` has
the limits: `low` and `high` by hand, or `learn` with the sensitivity of a baseline. Rules of other
types belong to other tools and are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from math import isfinite, log
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from customer_profiles.common.errors import PipelineError
from customer_profiles.quality.baseline import Kind, Sensitivity
from customer_profiles.quality.checks import HOLDABLE, MEASURES, Check, Threshold
from customer_profiles.quality.findings import Severity

ENGINE = "customerProfiles"
VERSION = "v3.1.0"
LEARNED = {
    "min_effect": "minEffect",
    "min_ratio": "minRatio",
    "floor": "floor",
    "sigmas": "sigmas",
    "fails_below": "failsBelow",
    "noise": "noise",
    "only_above": "onlyAbove",
    "min_rows": "minRows",
}
"""The keys of `learn`."""


class ContractError(PipelineError):
    """The contract is wrong; the message has the file and the line."""


def default_contract() -> str:
    """Return the contract that comes with the package."""
    return files(__package__).joinpath("contract.odcs.yaml").read_text()


def read_contract(path: Path | None) -> tuple[Check, ...]:
    """Read the checks of a contract; of the one that comes with the package if there is none.

    Raises:
        ContractError: the file cannot be read or is wrong.
    """
    try:
        text = default_contract() if path is None else path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"The contract cannot be read: {error}") from error
    return parse_contract(text, str(path or "contract.odcs.yaml"))


def parse_contract(text: str, name: str = "contract") -> tuple[Check, ...]:
    """Read the checks of a contract.

    Raises:
        ContractError: it is no YAML, no ODCS 3.1 contract, or a check is wrong.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise ContractError(f"{name}{line}: this is no YAML: {problem}") from error
    reader = _Reader(name)
    if root is None:
        raise ContractError(f"{name}: the contract is empty")
    for key, wanted in (("apiVersion", VERSION), ("kind", "DataContract")):
        node = reader.member(root, key, "the contract")
        if reader.value(node) != wanted:
            raise reader.error(node, f"{key} is {reader.value(node)}, {wanted} is read")
    checks: dict[str, Check] = {}
    for table in reader.items(reader.member(root, "schema", "the contract")):
        rules = reader.fields(table).get("quality")
        for rule in reader.items(rules) if rules else ():
            if (check := reader.check(rule)) is not None:
                if check.name in checks:
                    raise reader.error(rule, f"the check {check.name} is there twice")
                checks[check.name] = check
    if not checks:
        raise reader.error(root, f"no rule has the engine {ENGINE}")
    return tuple(checks.values())


class _Reader:
    """Reads nodes, which know their lines."""

    def __init__(self, name: str) -> None:
        self._name = name

    def error(self, node: Node, problem: str) -> ContractError:
        return ContractError(f"{self._name}, line {node.start_mark.line + 1}: {problem}")

    def fields(self, node: Node) -> dict[str, Node]:
        if not isinstance(node, MappingNode):
            raise self.error(node, "keys and values are expected here")
        return {str(key.value): value for key, value in node.value}

    def items(self, node: Node) -> Iterator[Node]:
        if not isinstance(node, SequenceNode):
            raise self.error(node, "a list is expected here")
        yield from node.value

    def member(self, node: Node, key: str, where: str) -> Node:
        found = self.fields(node).get(key)
        if found is None:
            raise self.error(node, f"{where} has no {key}")
        return found

    def value(self, node: Node) -> Any:
        if not isinstance(node, ScalarNode):
            raise self.error(node, "one value is expected here")
        return yaml.SafeLoader("").construct_object(node)

    def number(self, node: Node) -> float:
        value = self.value(node)
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise self.error(node, f"{value} is no number")
        return float(value)

    def check(self, rule: Node) -> Check | None:
        """Read one rule; None for one of another tool."""
        fields = self.fields(rule)
        if "engine" not in fields or self.value(fields["engine"]) != ENGINE:
            return None
        named = self.member(rule, "id", "the rule")
        name = str(self.value(named))
        if name not in MEASURES:
            raise self.error(named, f"there is no check {name}; there are {', '.join(MEASURES)}")
        severity = self.member(rule, "severity", f"the check {name}")
        if self.value(severity) not in list(Severity):
            allowed = ", ".join(Severity)
            raise self.error(severity, f"the severity is one of {allowed}")
        if self.value(severity) == Severity.QUARANTINE and name not in HOLDABLE:
            raise self.error(
                severity,
                f"{name} cannot hold a batch back, because it is known later than its profiles or "
                f"for whole days only; these can: {', '.join(HOLDABLE)}",
            )
        body = self.fields(self.member(rule, "implementation", f"the check {name}"))
        for key, node in body.items():
            if key not in {"learn", "low", "high", "fields"}:
                raise self.error(node, f"{key} is unknown; known are learn, low, high and fields")
        learn = body.get("learn")
        limits = {key: self.number(body[key]) for key in ("low", "high") if key in body}
        if (learn is None) == (not limits):
            raise self.error(rule, f"the check {name} needs either learn, or low or high")
        only = body.get("fields")
        return Check(
            name,
            Severity(self.value(severity)),
            self.sensitivity(learn, MEASURES[name].kind) if learn else None,
            Threshold(**limits) if limits else None,
            frozenset(str(self.value(each)) for each in self.items(only)) if only else None,
        )

    def sensitivity(self, node: Node, kind: Kind) -> Sensitivity:
        """Read how sensitive a learned check is."""
        fields = self.fields(node)
        known = {yaml_name: name for name, yaml_name in LEARNED.items()}
        values: dict[str, Any] = {}
        for key, each in fields.items():
            if key not in known:
                raise self.error(each, f"{key} is unknown; known are {', '.join(known)}")
            values[known[key]] = bool(self.value(each)) if key == "onlyAbove" else self.number(each)
        effect = "min_ratio" if kind is Kind.COUNT else "min_effect"
        if effect not in values or "floor" not in values:
            raise self.error(node, f"learn needs {LEARNED[effect]} and floor")
        if kind is Kind.COUNT:
            ratio = values.pop("min_ratio")
            if ratio <= 1:
                raise self.error(fields["minRatio"], "minRatio is above 1")
            values["min_effect"] = log(ratio)
        if "min_rows" in values:
            values["min_rows"] = int(values["min_rows"])
        return Sensitivity(kind, **values)
