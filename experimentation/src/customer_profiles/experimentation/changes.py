"""What must not change in the file of an experiment once it has started."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from customer_profiles.experimentation.definition import Experiment
from customer_profiles.experimentation.toml_lines import line_of, unusable

_MOVES = {
    "unit": "the unit",
    "salt": "the salt",
    "layer": "the layer",
    "layer_start": "the start of the range in the layer",
    "holdout": "the holdout",
    "eligible": "who is eligible",
}
"""Fields that decide which customers take part, or which variant they get."""
_PROMISES = {
    "start": "the start",
    "primary": "the primary metric",
    "guardrails": "the guardrails",
    "secondary": "the secondary metrics",
    "minimum_detectable_effect": "the minimum detectable effect",
    "alpha": "alpha",
    "power": "the power",
    "method": "the method",
    "planned_customers": "the planned number of customers",
}
"""Fields that have to be chosen before anybody has seen a result."""


def changes(registered: Experiment, current: Experiment) -> list[tuple[str, str]]:
    """Compare a file with its registered copy.

    The hypothesis may be worded anew, and traffic may be raised: its range keeps its start, so
    nobody changes variant. A later end is a promise broken for a fixed horizon only.

    Args:
        registered: the experiment as it was when it was registered.
        current: the experiment as its file is now.

    Returns:
        The keys that must not change while the experiment runs, each with the reason.
    """
    found = []
    for key, words in _MOVES.items():
        if getattr(registered, key) != getattr(current, key):
            found.append((key, f"{words} has changed: it would move customers between variants"))
    if registered.variants != current.variants:
        names = [variant.name for variant in registered.variants]
        if names != [variant.name for variant in current.variants]:
            why = f"the variants were {', '.join(names)}: a variant was renamed, added or removed"
        else:
            weights = ", ".join(str(variant.weight) for variant in registered.variants)
            why = f"the weights were {weights}: new ones would move customers between variants"
        found.append(("variants", why))
    if current.traffic < registered.traffic:
        why = f"traffic was {registered.traffic}: less would take customers out of their variant"
        found.append(("traffic", why))
    for key, words in _PROMISES.items():
        if getattr(registered, key) != getattr(current, key):
            found.append((key, f"{words} has changed, and has to be chosen before the start"))
    if current.end != registered.end and current.method == "fixed_horizon":
        found.append(("end", "the end of a fixed horizon has to be chosen before the start"))
    return found


def refuse_changes(registered: Experiment, current: Experiment, path: Path, now: datetime) -> None:
    """Refuse a file that has changed too much since it was registered.

    Args:
        registered: the registered copy.
        current: the file's content.
        path: the file, for lines.
        now: the time in UTC. Before the registered start, everything may change.

    Raises:
        PipelineError: with line and reason of every such change.
    """
    if now < registered.start:
        return
    found = changes(registered, current)
    if found:
        text = path.read_text() if path.exists() else ""
        hint = "Undo the change, or start a new experiment in a file of another name."
        problems = sorted((line_of(text, _place(key)), why) for key, why in found)
        error = unusable(path, problems)
        raise type(error)(f"{error}\n{hint}")


def _place(key: str) -> tuple[str | int, ...]:
    return (key, 0) if key in ("variants", "guardrails") else (key,)
